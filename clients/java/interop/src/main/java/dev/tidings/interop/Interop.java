package dev.tidings.interop;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Tries this language's generated client against a broker, for a harness that compares languages.
 *
 * <pre>
 * interop checks --target HOST:PORT [--only NAME]
 * interop receive --target HOST:PORT --topic TOPIC --events N
 * </pre>
 *
 * It prints a JSON object a line. It exits with 0 where everything ran, also where a check is not ok.
 */
public final class Interop {
    private static final Gson JSON = new GsonBuilder()
            .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .disableHtmlEscaping()
            .create();

    private Interop() {}

    public static void main(String[] args) throws Exception {
        var command = args.length == 0 ? "" : args[0];
        var flags = flags(args);
        var target = flags.getOrDefault("--target", "127.0.0.1:7070");
        var channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
        try {
            switch (command) {
                case "checks" -> Checks.run(channel, flags.get("--only"));
                case "receive" -> Receive.run(channel, flags.get("--topic"), Long.parseLong(flags.get("--events")));
                default -> throw new IllegalArgumentException("say checks or receive");
            }
        } finally {
            channel.shutdownNow();
        }
    }

    private static Map<String, String> flags(String[] args) {
        var flags = new HashMap<String, String>();
        for (int at = 1; at + 1 < args.length; at += 2) {
            flags.put(args[at], args[at + 1]);
        }
        return flags;
    }

    static void say(Object line) {
        // Not println: what it encodes with is the platform's choice before Java 18.
        var bytes = (JSON.toJson(line) + "\n").getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }
}
