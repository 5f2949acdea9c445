import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.Scheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogSegment;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * Kafka's own log loader and segment dump behind one line a command: what the tests ask on stdin, answered on stdout.
 *
 * An answer is "ok ..." or "error ...".
 */
public class LiveProduce {
    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = commands.readLine()) != null) {
            String answer;
            try {
                answer = "ok " + run(line.split(" "));
            } catch (Throwable error) {
                answer = "error " + error;
            }
            answers.println(answer.replace('\n', ' '));
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static String run(String[] args) throws Exception {
        switch (args[0]) {
            case "dump": return dump(args);
            case "load": return load(args);
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    /** dump OUT ARGUMENT...: what kafka-dump-log prints with these arguments, its errors included. */
    private static String dump(String[] args) throws Exception {
        PrintStream out = System.out;
        PrintStream err = System.err;
        try (PrintStream file = new PrintStream(Path.of(args[1]).toFile(), StandardCharsets.UTF_8)) {
            System.setOut(file);
            System.setErr(file);
            DumpLogSegments.main(Arrays.copyOfRange(args, 2, args.length));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        return "";
    }

    /** Runs at once what is to be run at once, and leaves the rest: files that are to be removed later stay. */
    private static final class Now implements Scheduler {
        private static final ScheduledThreadPoolExecutor LATER = new ScheduledThreadPoolExecutor(1);

        @Override
        public void startup() { }

        @Override
        public void shutdown() { }

        @Override
        public ScheduledFuture<?> schedule(String name, Runnable task, long delayMs, long periodMs) {
            if (delayMs <= 0) {
                task.run();
            }
            // Someone may cancel it; it is never run.
            return LATER.schedule(() -> { }, 1, TimeUnit.DAYS);
        }

        @Override
        public void resizeThreadPool(int threads) { }
    }

    /** load DIR clean|unclean RECOVERY_POINT LOG_START key=value...: opens a log as a broker does, and closes it. */
    private static String load(String[] args) throws Exception {
        File dir = new File(args[1]);
        Map<String, String> configs = new HashMap<>();
        for (int i = 5; i < args.length; i++) {
            configs.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        }
        UnifiedLog log = UnifiedLog.create(dir, new LogConfig(configs), Long.parseLong(args[4]), Long.parseLong(args[3]),
            new Now(), new BrokerTopicStats(), Time.SYSTEM, 900000, new ProducerStateManagerConfig(86400000, false),
            600000, new LogDirFailureChannel(1), args[2].equals("clean"), Optional.empty());
        StringJoiner segments = new StringJoiner(",", "[", "]");
        for (LogSegment segment : log.logSegments()) {
            segments.add("[" + segment.baseOffset() + "," + segment.size() + "]");
        }
        StringJoiner producers = new StringJoiner(",", "[", "]");
        new TreeMap<>(log.activeProducersWithLastSequence()).forEach((id, sequence) -> producers.add("[" + id + "," + sequence + "]"));
        StringJoiner epochs = new StringJoiner(",", "[", "]");
        log.leaderEpochCache().epochEntries().forEach(entry -> epochs.add("[" + entry.epoch() + "," + entry.startOffset() + "]"));
        String answer = "{\"log_end\":" + log.logEndOffset() + ",\"log_start\":" + log.logStartOffset()
            + ",\"recovery_point\":" + log.recoveryPoint() + ",\"segments\":" + segments + ",\"producers\":" + producers
            + ",\"epochs\":" + epochs + "}";
        log.close();
        return answer;
    }
}
