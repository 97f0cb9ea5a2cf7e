package dev.tidings.interop;

import com.sun.management.OperatingSystemMXBean;
import dev.tidings.v1.BrokerGrpc;
import dev.tidings.v1.Position;
import dev.tidings.v1.SubscribeRequest;
import io.grpc.Channel;
import java.lang.management.ManagementFactory;

/** Reads a topic and says what that took, from the first event to the last. */
final class Receive {
    record Opened(boolean opened) {}

    /** Bytes of payload; the processor's time is of all threads, user and system. */
    record Received(long events, long frames, boolean inOrder, long bytes, double seconds, double cpuSeconds) {}

    private Receive() {}

    static void run(Channel channel, String topic, long wanted) throws Exception {
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        var request = SubscribeRequest.newBuilder().addTopics(topic).setClientName("interop-java");
        var stream = BrokerGrpc.newBlockingV2Stub(channel).subscribe(request.build());
        long events = 0;
        long frames = 0;
        long bytes = 0;
        Position last = null;
        boolean inOrder = true;
        long begun = 0;
        long cpuBegun = 0;
        while (events < wanted) {
            var frame = stream.read();
            if (frame == null) {
                throw new IllegalStateException("the stream ended after " + events + " events");
            }
            if (frame.hasOpened()) {
                Interop.say(new Opened(true));
            }
            if (frame.hasGap()) {
                throw new IllegalStateException("a gap after " + events + " events: " + frame.getGap());
            }
            if (frame.getEventsCount() == 0) {
                continue;
            }
            if (events == 0) {
                begun = System.nanoTime();
                cpuBegun = system.getProcessCpuTime();
            }
            frames++;
            for (var event : frame.getEventsList()) {
                var at = event.getPosition();
                inOrder &= last == null || at.getEpoch() == last.getEpoch() && at.getSequence() == last.getSequence() + 1;
                last = at;
                bytes += event.getTextBytes().size() + event.getData().size();
                events++;
            }
        }
        double seconds = (System.nanoTime() - begun) / 1e9;
        double cpuSeconds = (system.getProcessCpuTime() - cpuBegun) / 1e9;
        Interop.say(new Received(events, frames, inOrder, bytes, seconds, cpuSeconds));
    }
}
