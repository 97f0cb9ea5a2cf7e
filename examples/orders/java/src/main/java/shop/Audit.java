package shop;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import dev.tidings.v1.BrokerGrpc;
import dev.tidings.v1.Event;
import dev.tidings.v1.Gap;
import dev.tidings.v1.Opened;
import dev.tidings.v1.Position;
import dev.tidings.v1.SubscribeRequest;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Status;
import io.grpc.StatusException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import shop.v1.Orders.OrderPlaced;

/** Writes down the total of each order that was placed. */
public final class Audit {
    private static final String SERVICE = "audit";
    private static final String ORDER_PLACED = "shop.v1.OrderPlaced";
    private static final long PAUSE_MILLIS = 500;
    /** Twice the broker's heartbeat interval: a stream that is silent for longer is dead. */
    private static final long SILENCE_SECONDS = 30;

    private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();

    private final String topic;
    private final long count;
    private long handled = 0;
    private boolean listening = false;
    /** The last place reached, to go on after it. */
    private List<Position> resume = List.of();

    private Audit(String topic, long count) {
        this.topic = topic;
        this.count = count;
    }

    public static void main(String[] args) {
        var flags = new HashMap<String, String>();
        for (int at = 0; at + 1 < args.length; at += 2) {
            flags.put(args[at], args[at + 1]);
        }
        var address = System.getenv().getOrDefault("TIDINGS_ADDRESS", "127.0.0.1:7070");
        var addresses = flags.getOrDefault("--address", address).split(",");
        var count = Long.parseLong(flags.getOrDefault("--count", "0"));
        var audit = new Audit(flags.getOrDefault("--topic", "order_events"), count);
        // Being told to stop is no failure; the JVM would end with 143.
        var stop = new Thread(() -> Runtime.getRuntime().halt(0));
        Runtime.getRuntime().addShutdownHook(stop);
        try {
            audit.run(List.of(addresses));
        } catch (StatusException | InterruptedException error) {
            complain(error.getMessage());
            Runtime.getRuntime().halt(1);
        }
    }

    /** Goes on after every error that may pass: nothing is missed without a word. */
    private void run(List<String> addresses) throws StatusException, InterruptedException {
        for (int attempt = 0; !done(); attempt++) {
            try {
                stream(addresses.get(attempt % addresses.size()));
            } catch (StatusException error) {
                if (!mayPass(error.getStatus().getCode())) {
                    throw error;
                }
                complain(error.getMessage() + "; trying again");
            } catch (TimeoutException silence) {
                complain("silent for " + SILENCE_SECONDS + " s; trying again");
            }
            if (!done()) {
                Thread.sleep(PAUSE_MILLIS);
            }
        }
    }

    private boolean done() {
        return count > 0 && handled >= count;
    }

    /** Follows the topic at one broker, until that ends or the count is reached. */
    private void stream(String address) throws StatusException, InterruptedException, TimeoutException {
        var channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
        try {
            var request = SubscribeRequest.newBuilder()
                    .addTopics(topic)
                    .addAllResume(resume)
                    .setClientName(SERVICE)
                    .build();
            var frames = BrokerGrpc.newBlockingV2Stub(channel).subscribe(request);
            var frame = frames.read(SILENCE_SECONDS, TimeUnit.SECONDS);
            for (; frame != null; frame = frames.read(SILENCE_SECONDS, TimeUnit.SECONDS)) {
                for (var event : frame.getEventsList()) {
                    handle(event);
                    if (done()) {
                        return;
                    }
                }
                switch (frame.getControlCase()) {
                    case OPENED -> opened(frame.getOpened());
                    case GAP -> missed(frame.getGap());
                    default -> {}
                }
            }
        } finally {
            channel.shutdownNow();
        }
    }

    private void opened(Opened opened) {
        if (!listening) {
            complain("listening on " + topic);
        }
        listening = true;
        resume = opened.getPositionsList();
    }

    private void missed(Gap gap) {
        var missed = gap.hasMissed() ? Long.toString(gap.getMissed()) : "an unknown number of";
        complain("missed " + missed + " events: " + gap.getReason());
        resume = List.of(gap.getUntil());
    }

    private void handle(Event event) {
        var details = new LinkedHashMap<String, Object>();
        order(event).ifPresentOrElse(
                order -> {
                    details.put("order_id", order.getOrderId());
                    details.put("total", order.getTotal());
                    details.put("currency", order.getCurrency());
                },
                () -> details.put("skipped", "no order"));
        report(event, details);
        handled++;
        // Sequence 0 came from a raw Redis client and is no place to go on from.
        if (event.getPosition().getSequence() != 0) {
            resume = List.of(event.getPosition());
        }
    }

    /** One line about an event, for whoever watches. */
    private static void report(Event event, Map<String, Object> details) {
        var line = new LinkedHashMap<String, Object>();
        line.put("service", SERVICE);
        line.put("topic", event.getPosition().getTopic());
        line.put("sequence", event.getPosition().getSequence());
        line.put("type", event.getType());
        line.put("details", details);
        var bytes = (JSON.toJson(line) + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }

    /** What is in an event: protobuf, or JSON from a service that has not moved yet. */
    private static Optional<OrderPlaced> order(Event event) {
        try {
            if (event.hasData() && event.getType().equals(ORDER_PLACED)) {
                return Optional.of(OrderPlaced.parseFrom(event.getData()));
            }
            var json = event.hasData() ? event.getData().toStringUtf8() : event.getText();
            var order = OrderPlaced.newBuilder();
            JsonFormat.parser().ignoringUnknownFields().merge(json, order);
            return Optional.of(order.build()).filter(parsed -> !parsed.getOrderId().isEmpty());
        } catch (InvalidProtocolBufferException notAnOrder) {
            return Optional.empty();
        }
    }

    /** Whether subscribing again can help. */
    private static boolean mayPass(Status.Code code) {
        return switch (code) {
            case UNAVAILABLE, INTERNAL, UNKNOWN, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, ABORTED, CANCELLED -> true;
            default -> false;
        };
    }

    private static void complain(String what) {
        System.err.println(SERVICE + ": " + what);
    }
}
