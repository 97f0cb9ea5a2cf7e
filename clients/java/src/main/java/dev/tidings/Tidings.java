package dev.tidings;

import dev.tidings.v1.BrokerGrpc;
import dev.tidings.v1.BrokerGrpc.BrokerBlockingV2Stub;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;

/** A connection to a broker, kept for all calls of all threads. Closing it ends them. */
public final class Tidings implements AutoCloseable {
    private final ManagedChannel channel;
    private final BrokerBlockingV2Stub broker;

    private Tidings(ManagedChannel channel) {
        this.channel = channel;
        this.broker = BrokerGrpc.newBlockingV2Stub(channel);
    }

    /**
     * To the broker at an address such as "127.0.0.1:7070". Does not wait for the connection, which is
     * made with the first call and anew after it broke.
     */
    public static Tidings connect(String address) {
        return new Tidings(Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build());
    }

    /** Publish and subscribe, for code that waits: a stream can be read with a limit, and cancelled. */
    public BrokerBlockingV2Stub broker() {
        return broker;
    }

    /** For every other generated stub: {@code AdminGrpc.newBlockingV2Stub(tidings.channel())}. */
    public Channel channel() {
        return channel;
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
