package dev.tidings.interop;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.StringValue;
import com.google.protobuf.Timestamp;
import com.google.protobuf.Value;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.tidings.v1.BrokerGrpc;
import dev.tidings.v1.BrokerGrpc.BrokerBlockingV2Stub;
import dev.tidings.v1.Event;
import dev.tidings.v1.PublishRequest;
import dev.tidings.v1.Receipt;
import dev.tidings.v1.SubscribeRequest;
import dev.tidings.v1.SubscribeResponse;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.BlockingClientCall;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** What a client must be able to do, each bounded in time, on a topic of its own. */
final class Checks {
    private static final long CHECK_SECONDS = 20;
    private static final Map<String, Check> CHECKS = new LinkedHashMap<>();

    static {
        CHECKS.put("publish", Checks::publish);
        CHECKS.put("subscribe", Checks::subscribe);
        CHECKS.put("error_details", Checks::errorDetails);
        CHECKS.put("deadline", Checks::deadline);
        CHECKS.put("cancel", Checks::cancel);
        CHECKS.put("gzip", Checks::gzip);
    }

    /** Answers what was seen, in the words that every language uses; throws what is wrong. */
    private interface Check {
        String run(Client client) throws Exception;
    }

    record Checked(String check, boolean ok, String detail) {}

    private Checks() {}

    static void run(Channel channel, String only) {
        if (only != null && !CHECKS.containsKey(only)) {
            throw new IllegalArgumentException("there is no check " + only);
        }
        CHECKS.forEach((name, check) -> {
            if (only != null && !only.equals(name)) {
                return;
            }
            // The deadline of all calls of the check bounds it.
            var stub = BrokerGrpc.newBlockingV2Stub(channel).withDeadlineAfter(CHECK_SECONDS, TimeUnit.SECONDS);
            var client = new Client(stub, "interop.java." + name + "." + UUID.randomUUID());
            try {
                Interop.say(new Checked(name, true, check.run(client)));
            } catch (Exception wrong) {
                Interop.say(new Checked(name, false, wrong.toString()));
            }
        });
    }

    private record Client(BrokerBlockingV2Stub stub, String topic) {
        List<Receipt> publish(Event event) throws StatusException {
            return stub.publish(PublishRequest.newBuilder().setTopic(topic).addEvents(event).build())
                    .getReceiptsList();
        }

        /** Subscribes and reads Opened: what is published from now on comes. */
        Frames open() throws Exception {
            var request = SubscribeRequest.newBuilder().addTopics(topic).setClientName("interop-java");
            var frames = new Frames(stub.subscribe(request.build()));
            var first = frames.next();
            require(first.hasOpened(), "the first frame is not Opened: " + first);
            return frames;
        }
    }

    private record Frames(BlockingClientCall<?, SubscribeResponse> call) implements AutoCloseable {
        SubscribeResponse next() throws Exception {
            var frame = call.read();
            require(frame != null, "the stream ended with OK");
            return frame;
        }

        List<Event> read(int count) throws Exception {
            var events = new ArrayList<Event>();
            while (events.size() < count) {
                events.addAll(next().getEventsList());
            }
            return events;
        }

        /** Reads what comes until the stream ends, and answers why it did. */
        Status end() {
            try {
                while (true) {
                    next();
                }
            } catch (Exception ended) {
                return Status.fromThrowable(ended);
            }
        }

        @Override
        public void close() {
            call.cancel("done", null);
        }
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    private static Event textEvent(String text) {
        return Event.newBuilder().setText(text).build();
    }

    private static String publish(Client client) throws Exception {
        var events = List.of(
                textEvent("one"),
                Event.newBuilder().setData(ByteString.copyFrom(new byte[] {0, -1, 2})).build(),
                Event.newBuilder().setJson(Value.newBuilder().setNumberValue(3)).build(),
                Event.newBuilder().setProto(Any.pack(StringValue.of("four"))).build());
        long last = 0;
        for (var event : events) {
            var at = client.publish(event).get(0).getPosition();
            require(
                    at.getTopic().equals(client.topic) && at.getEpoch() != 0 && at.getSequence() == last + 1,
                    "after sequence " + last + ": " + at);
            last = at.getSequence();
        }
        return "text, data, json, proto";
    }

    private static String subscribe(Client client) throws Exception {
        try (var frames = client.open()) {
            var sent = new ArrayList<Event>();
            for (int number = 0; number < 100; number++) {
                sent.add(numbered(number));
                client.publish(sent.get(number));
            }
            var events = frames.read(sent.size());
            for (int number = 0; number < sent.size(); number++) {
                // What is left is what was sent.
                var event = events.get(number).toBuilder().clearPosition().clearPublishTime().build();
                require(event.equals(sent.get(number)), "sent " + sent.get(number) + ", received " + event);
            }
            return events.size() + " events";
        }
    }

    private static Event numbered(int number) {
        return Event.newBuilder()
                .setId("id-" + number)
                .setSource("/interop")
                .setType("interop.v1.Numbered")
                .setSubject("number/" + number)
                .setTime(Timestamp.newBuilder().setSeconds(1_700_000_000L + number).setNanos(123_456_000))
                .setDataContentType("text/plain; charset=utf-8")
                .setKey("key-" + number % 7)
                .putExtensions("language", "java")
                .setText("grüße " + number + " 🎉")
                .build();
    }

    private static String errorDetails(Client client) throws Exception {
        try {
            new Client(client.stub, "a b").publish(textEvent("refused"));
        } catch (StatusException refused) {
            var reason = "";
            var fields = new ArrayList<String>();
            for (var detail : StatusProto.fromThrowable(refused).getDetailsList()) {
                if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals("tidings")) {
                    reason = detail.unpack(ErrorInfo.class).getReason();
                } else if (detail.is(BadRequest.class)) {
                    detail.unpack(BadRequest.class).getFieldViolationsList().forEach(
                            violation -> fields.add(violation.getField()));
                }
            }
            var code = refused.getStatus().getCode();
            var seen = code + ", " + reason + ", " + String.join(" ", fields);
            require(code == Status.Code.INVALID_ARGUMENT && fields.equals(List.of("topic")), seen);
            return seen;
        }
        throw new IllegalStateException("it was accepted");
    }

    private static String deadline(Client client) throws Exception {
        long begun = System.nanoTime();
        var hasty = new Client(client.stub.withDeadlineAfter(1, TimeUnit.SECONDS), client.topic);
        try (var frames = hasty.open()) {
            var ended = frames.end();
            double took = since(begun);
            require(
                    ended.getCode() == Status.Code.DEADLINE_EXCEEDED && took <= 3,
                    ended + " after " + took + " s");
            return ended.getCode().name();
        }
    }

    private static String cancel(Client client) throws Exception {
        try (var frames = client.open()) {
            var ended = CompletableFuture.supplyAsync(frames::end);
            Thread.sleep(100);
            long begun = System.nanoTime();
            frames.close();
            var status = ended.get(CHECK_SECONDS, TimeUnit.SECONDS);
            double took = since(begun);
            require(status.getCode() == Status.Code.CANCELLED && took <= 1, status + " after " + took + " s");
            try (var again = client.open()) {
                client.publish(textEvent("again"));
                require(again.read(1).get(0).getText().equals("again"), "another event came");
            }
            return status.getCode().name();
        }
    }

    private static String gzip(Client client) throws Exception {
        try (var frames = client.open()) {
            var text = "0123456789abcdef".repeat(6400);
            new Client(client.stub.withCompression("gzip"), client.topic).publish(textEvent(text));
            var received = frames.read(1).get(0).getText();
            require(received.equals(text), received.length() + " characters came back, or others");
            return text.length() + " bytes";
        }
    }

    private static double since(long begun) {
        return (System.nanoTime() - begun) / 1e9;
    }
}
