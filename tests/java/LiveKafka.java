import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.CloseableIterator;

/**
 * Kafka's own clients behind one line a command: what the tests ask on stdin, answered on stdout.
 *
 * An answer is "ok ..." or "error ...". Started with the address of the broker.
 */
public class LiveKafka {
    private static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    private static final Duration POLL = Duration.ofMillis(200);

    private final String bootstrap;
    private final Admin admin;
    /** Keeps producers whose transaction is to stay open. */
    private final List<KafkaProducer<byte[], byte[]>> open = new ArrayList<>();
    private Thread writer;
    private volatile boolean writing;
    private volatile Exception failure;

    private LiveKafka(String bootstrap) {
        this.bootstrap = bootstrap;
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        this.admin = Admin.create(settings);
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        // A client that prints must not be taken for an answer.
        System.setOut(System.err);
        LiveKafka live = new LiveKafka(args[0]);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = commands.readLine()) != null) {
            String answer;
            try {
                answer = "ok " + live.run(line.split(" "));
            } catch (Exception error) {
                error.printStackTrace();
                answer = "error " + error;
            }
            answers.println(answer.replace('\n', ' '));
            answers.flush();
        }
        // Producers with open transactions would wait for them.
        Runtime.getRuntime().halt(0);
    }

    private String run(String[] args) throws Exception {
        switch (args[0]) {
            case "create": return create(args[1], Integer.parseInt(args[2]), args);
            case "configure": return configure(args[1], args);
            case "delete-topic":
                admin.deleteTopics(List.of(args[1])).all().get();
                return "";
            case "delete-records": return deleteRecords(args[1], Integer.parseInt(args[2]), Long.parseLong(args[3]));
            case "produce": return produce(args[1], Integer.parseInt(args[2]), Long.parseLong(args[3]), Integer.parseInt(args[4]));
            case "produce-keys": return produceKeys(args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3]), Long.parseLong(args[4]));
            case "transactions": return transactions(args[1], Integer.parseInt(args[2]), Long.parseLong(args[3]), Integer.parseInt(args[4]), args[5].equals("open"));
            case "consume": return consume(args);
            case "resume": return resume(args[1], args[2]);
            case "take-part": return takePart(args[1], args[2], Integer.parseInt(args[3]), Path.of(args[4]), args);
            case "offsets": return offsets(args);
            case "read-batches": return readBatches(Path.of(args[1]), Path.of(args[2]));
            case "write-start": return writeStart(args);
            case "write-stop": return writeStop();
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    /** create TOPIC PARTITIONS key=value... */
    private String create(String topic, int partitions, String[] args) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 3; i < args.length; i++) {
            configs.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        }
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        // The broker answers for a partition once its directory is there.
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            wanted.put(new TopicPartition(topic, partition), OffsetSpec.earliest());
        }
        for (int tries = 0; ; tries++) {
            try {
                admin.listOffsets(wanted).all().get();
                return "";
            } catch (ExecutionException error) {
                if (!(error.getCause() instanceof UnknownTopicOrPartitionException) || tries == 200) {
                    throw error;
                }
                Thread.sleep(50);
            }
        }
    }

    /** configure TOPIC key=value... */
    private String configure(String topic, String[] args) throws Exception {
        Collection<AlterConfigOp> ops = new ArrayList<>();
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            ops.add(new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET));
        }
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, topic), ops)).all().get();
        return "";
    }

    private String deleteRecords(String topic, int partition, long below) throws Exception {
        TopicPartition where = new TopicPartition(topic, partition);
        var deleted = admin.deleteRecords(Map.of(where, RecordsToDelete.beforeOffset(below)));
        return "" + deleted.lowWatermarks().get(where).get().lowWatermark();
    }

    private Properties producerSettings(String codec) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        settings.put("compression.type", codec);
        settings.put("linger.ms", "2");
        return settings;
    }

    private static byte[] bytes(Random random, int kind) {
        switch (kind) {
            case 0: return null;
            case 1: return new byte[0];
            case 2: {
                byte[] binary = new byte[random.nextInt(40)];
                random.nextBytes(binary);
                return binary;
            }
            case 3: return ("tab\t\"quoted\" back\\slash \u0001\u001f\u007f line\nend \u00fc\u20ac\ud83d\ude80" + random.nextInt()).getBytes(StandardCharsets.UTF_8);
            case 4: return ("text " + "compressible ".repeat(random.nextInt(60))).getBytes(StandardCharsets.UTF_8);
            default: return ("value " + random.nextLong()).getBytes(StandardCharsets.UTF_8);
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int partitions, Random random) {
        List<Header> headers = new ArrayList<>();
        for (int i = random.nextInt(4) - 1; i > 0; i--) {
            headers.add(new RecordHeader(random.nextBoolean() ? "same" : "h\u00e9\"" + i, bytes(random, random.nextInt(6))));
        }
        // Not in order: what a lookup by time has to cope with.
        long timestamp = 1_760_000_000_000L + random.nextInt(1_000_000);
        int partition = random.nextInt(partitions);
        return new ProducerRecord<>(topic, partition, timestamp, bytes(random, random.nextInt(6)), bytes(random, random.nextInt(6)), headers);
    }

    /** produce TOPIC PARTITIONS SEED COUNT: with every codec, idempotent and not. */
    private String produce(String topic, int partitions, long seed, int count) throws Exception {
        Random random = new Random(seed);
        for (int round = 0; round < CODECS.length * 2; round++) {
            Properties settings = producerSettings(CODECS[round % CODECS.length]);
            settings.put("enable.idempotence", round < CODECS.length ? "true" : "false");
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int i = 0; i < count; i++) {
                    sent.add(producer.send(record(topic, partitions, random)));
                    if (random.nextInt(50) == 0) {
                        producer.flush();
                    }
                }
                for (Future<RecordMetadata> one : sent) {
                    one.get();
                }
            }
        }
        return "" + CODECS.length * 2 * count;
    }

    /** produce-keys TOPIC KEYS COUNT SEED: few keys again and again, some of them removed. */
    private String produceKeys(String topic, int keys, int count, long seed) throws Exception {
        Random random = new Random(seed);
        for (String codec : CODECS) {
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(producerSettings(codec))) {
                for (int i = 0; i < count; i++) {
                    byte[] key = ("key-" + random.nextInt(keys)).getBytes(StandardCharsets.UTF_8);
                    byte[] value = random.nextInt(20) == 0 ? null : bytes(random, 4);
                    producer.send(new ProducerRecord<>(topic, key, value));
                    if (random.nextInt(20) == 0) {
                        producer.flush();
                    }
                }
            }
        }
        return "";
    }

    /** transactions TOPIC PARTITIONS SEED COUNT open|closed: several producers at once, committed and aborted. */
    private String transactions(String topic, int partitions, long seed, int count, boolean leaveOpen) throws Exception {
        Random random = new Random(seed);
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Properties settings = producerSettings(CODECS[random.nextInt(CODECS.length)]);
            settings.put("transactional.id", topic + "-" + seed + "-" + i);
            settings.put("transaction.timeout.ms", "600000");
            producers.add(new KafkaProducer<>(settings));
        }
        boolean[] begun = new boolean[producers.size()];
        for (KafkaProducer<byte[], byte[]> producer : producers) {
            producer.initTransactions();
        }
        for (int i = 0; i < count; i++) {
            int who = random.nextInt(producers.size());
            KafkaProducer<byte[], byte[]> producer = producers.get(who);
            if (!begun[who]) {
                producer.beginTransaction();
                begun[who] = true;
            }
            for (int n = random.nextInt(30); n >= 0; n--) {
                producer.send(record(topic, partitions, random));
            }
            producer.flush();
            int end = random.nextInt(6);
            if (end < 2) {
                producer.commitTransaction();
                begun[who] = false;
            } else if (end == 2) {
                producer.abortTransaction();
                begun[who] = false;
            }
        }
        for (int who = 0; who < producers.size(); who++) {
            KafkaProducer<byte[], byte[]> producer = producers.get(who);
            if (leaveOpen && who == 0) {
                if (!begun[who]) {
                    producer.beginTransaction();
                }
                producer.send(record(topic, partitions, random));
                producer.flush();
                open.add(producer);
                continue;
            }
            if (begun[who]) {
                producer.commitTransaction();
            }
            producer.close();
        }
        // Records behind the open transaction, which read_committed must not see.
        try (KafkaProducer<byte[], byte[]> plain = new KafkaProducer<>(producerSettings("zstd"))) {
            for (int i = 0; i < 50; i++) {
                plain.send(record(topic, partitions, random));
            }
        }
        return "";
    }

    /** consume LEVEL FILE TOPIC...: all records of the topics, by topic and partition, as lines of JSON. */
    private String consume(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("isolation.level", args[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        long count = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings);
             BufferedWriter out = Files.newBufferedWriter(Path.of(args[2]))) {
            for (int i = 3; i < args.length; i++) {
                var infos = new TreeMap<Integer, TopicPartition>();
                consumer.partitionsFor(args[i]).forEach(info -> infos.put(info.partition(), new TopicPartition(info.topic(), info.partition())));
                for (TopicPartition where : infos.values()) {
                    long end = consumer.endOffsets(List.of(where)).get(where);
                    consumer.assign(List.of(where));
                    consumer.seekToBeginning(List.of(where));
                    while (consumer.position(where) < end) {
                        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                            if (record.offset() < end) {
                                out.write(json(record));
                                count++;
                            }
                        }
                    }
                }
            }
        }
        return "" + count;
    }

    /**
     * take-part GROUP TOPIC MAX FILE key=value...: a member of the group reads MAX records, or to the end, commits them and leaves;
     * partition and offset of each are lines of FILE. With stay=true it does not leave.
     */
    private String takePart(String group, String topic, int max, Path file, String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("default.api.timeout.ms", "20000");
        boolean stays = false;
        for (int i = 5; i < args.length; i++) {
            String[] setting = args[i].split("=", 2);
            if (setting[0].equals("stay")) {
                stays = Boolean.parseBoolean(setting[1]);
            } else {
                settings.put(setting[0], setting[1]);
            }
        }
        settings.put("max.poll.records", Integer.toString(max));
        StringBuilder lines = new StringBuilder();
        int count = 0;
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings);
        try {
            List<TopicPartition> all = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(info -> all.add(new TopicPartition(info.topic(), info.partition())));
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            consumer.subscribe(List.of(topic));
            long deadline = System.currentTimeMillis() + 60_000;
            while (count < max) {
                if (System.currentTimeMillis() > deadline) {
                    throw new IllegalStateException("nothing to read after a minute, " + count + " of " + max + " records");
                }
                Map<TopicPartition, Long> next = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    TopicPartition where = new TopicPartition(record.topic(), record.partition());
                    if (count == max) {
                        next.putIfAbsent(where, record.offset());
                        continue;
                    }
                    lines.append(record.partition()).append(' ').append(record.offset()).append('\n');
                    count++;
                }
                // What is beyond the limit is left for the next one.
                next.forEach(consumer::seek);
                boolean done = !consumer.assignment().isEmpty();
                for (TopicPartition where : consumer.assignment()) {
                    done &= consumer.position(where) >= ends.get(where);
                }
                if (done) {
                    break;
                }
            }
            consumer.commitSync();
        } finally {
            if (!stays) {
                consumer.close();
            } else {
                STAYING.add(consumer);
            }
        }
        Files.writeString(file, lines);
        return "" + count;
    }

    /** Members that do not leave; nobody polls them. */
    private static final List<KafkaConsumer<byte[], byte[]>> STAYING = new ArrayList<>();

    /** resume GROUP TOPIC: how many records a new consumer gets from the group's offsets to the end, in ten seconds at most; they are committed. */
    private String resume(String group, String topic) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("default.api.timeout.ms", "10000");
        long count = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> all = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(info -> all.add(new TopicPartition(info.topic(), info.partition())));
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            consumer.assign(all);
            long deadline = System.currentTimeMillis() + 10_000;
            boolean more = true;
            while (more && System.currentTimeMillis() < deadline) {
                count += consumer.poll(POLL).count();
                more = false;
                for (TopicPartition where : all) {
                    try {
                        more |= consumer.position(where, Duration.ofMillis(500)) < ends.get(where);
                    } catch (org.apache.kafka.common.errors.TimeoutException waiting) {
                        more = true;
                    }
                }
            }
            consumer.commitSync();
        }
        return "" + count;
    }

    /** offsets TOPIC PARTITION MS...: the first offset at or after each time, -1 for none. */
    private String offsets(String[] args) throws Exception {
        TopicPartition where = new TopicPartition(args[1], Integer.parseInt(args[2]));
        StringBuilder answer = new StringBuilder();
        for (int i = 3; i < args.length; i++) {
            var found = admin.listOffsets(Map.of(where, OffsetSpec.forTimestamp(Long.parseLong(args[i]))));
            answer.append(i > 3 ? " " : "").append(found.partitionResult(where).get().offset());
        }
        return answer.toString();
    }

    /** read-batches FILE OUT: every batch checked and read to its last record, as Kafka does with a fetch response. */
    private String readBatches(Path file, Path to) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        long batches = 0;
        try (BufferedWriter out = Files.newBufferedWriter(to); BufferSupplier buffers = BufferSupplier.create()) {
            for (RecordBatch batch : records.batches()) {
                batch.ensureValid();
                out.write("batch " + batch.magic() + " " + batch.compressionType().name + " " + batch.lastOffset() + " "
                    + batch.maxTimestamp() + " " + batch.producerId() + " " + batch.isControlBatch() + "\n");
                try (CloseableIterator<Record> all = batch.streamingIterator(buffers)) {
                    while (all.hasNext()) {
                        Record record = all.next();
                        record.ensureValid();
                        StringBuilder line = new StringBuilder();
                        line.append(record.offset()).append(' ').append(record.timestamp()).append(' ').append(record.sequence());
                        line.append(' ').append(hex(record.key())).append(' ').append(hex(record.value()));
                        for (Header header : record.headers()) {
                            byte[] value = header.value();
                            line.append(' ').append(header.key()).append('=').append(hex(value == null ? null : ByteBuffer.wrap(value)));
                        }
                        out.write(line.append('\n').toString());
                    }
                }
                batches++;
            }
        }
        return batches + " " + records.validBytes();
    }

    private static String hex(ByteBuffer bytes) {
        if (bytes == null) {
            return "null";
        }
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return "x" + HexFormat.of().formatHex(copy);
    }

    /**
     * write-start plain|transactions|keys TOPIC PARTITIONS FILE PAUSE_US: writes in the background until
     * write-stop; FILE gets "partition offset value" of what Kafka acknowledged (and committed).
     */
    private String writeStart(String[] args) {
        String kind = args[1];
        String topic = args[2];
        int partitions = Integer.parseInt(args[3]);
        Path file = Path.of(args[4]);
        long pauseUs = Long.parseLong(args[5]);
        writing = true;
        failure = null;
        writer = new Thread(() -> {
            try {
                write(kind, topic, partitions, file, pauseUs);
            } catch (Exception error) {
                failure = error;
            }
        });
        writer.start();
        return "";
    }

    private String writeStop() throws Exception {
        writing = false;
        writer.join();
        if (failure != null) {
            throw failure;
        }
        return "";
    }

    private record Sent(int partition, String value, Future<RecordMetadata> result) { }

    private void write(String kind, String topic, int partitions, Path file, long pauseUs) throws Exception {
        boolean transactional = kind.equals("transactions");
        Properties settings = producerSettings("lz4");
        if (transactional) {
            settings.put("transactional.id", "writer-" + topic);
        }
        Random random = new Random(7);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings);
             BufferedWriter out = Files.newBufferedWriter(file)) {
            if (transactional) {
                producer.initTransactions();
            }
            long number = 0;
            while (writing) {
                if (transactional) {
                    producer.beginTransaction();
                }
                List<Sent> sent = new ArrayList<>();
                for (int i = 0; i < 20; i++, number++) {
                    // Random letters: compression must not keep segments from rolling.
                    StringBuilder value = new StringBuilder("n" + number + "-");
                    for (int n = 0; n < 100; n++) {
                        value.append((char) ('a' + random.nextInt(26)));
                    }
                    value.append("-").append(number).append("n");
                    int partition = (int) (number % partitions);
                    byte[] key = kind.equals("keys") ? ("key-" + number % 40).getBytes(StandardCharsets.UTF_8) : null;
                    var record = new ProducerRecord<>(topic, partition, key, value.toString().getBytes(StandardCharsets.UTF_8));
                    sent.add(new Sent(partition, value.toString(), producer.send(record)));
                }
                producer.flush();
                boolean keep = true;
                if (transactional) {
                    keep = random.nextInt(3) != 0;
                    if (keep) {
                        producer.commitTransaction();
                    } else {
                        producer.abortTransaction();
                    }
                }
                for (Sent one : sent) {
                    long offset = one.result.get().offset();
                    if (keep) {
                        out.write(one.partition + " " + offset + " " + one.value + "\n");
                    }
                }
                Thread.sleep(pauseUs / 1000, (int) (pauseUs % 1000) * 1000);
            }
        }
    }

    private static String json(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder out = new StringBuilder("{\"topic\":");
        text(record.topic(), out);
        out.append(",\"partition\":").append(record.partition());
        out.append(",\"offset\":").append(record.offset());
        out.append(",\"timestamp_ms\":").append(record.timestamp());
        boolean append = record.timestampType() == TimestampType.LOG_APPEND_TIME;
        out.append(",\"timestamp_type\":\"").append(append ? "log_append" : "create").append('"');
        out.append(",\"leader_epoch\":").append(record.leaderEpoch().orElse(-1)).append(",\"headers\":[");
        String comma = "";
        for (Header header : record.headers()) {
            out.append(comma).append("{\"key\":");
            text(header.key(), out);
            named(",", "value", header.value(), out);
            out.append('}');
            comma = ",";
        }
        out.append(']');
        named(",", "key", record.key(), out);
        named(",", "value", record.value(), out);
        return out.append("}\n").toString();
    }

    /** The bytes as text when they are UTF-8, else in base64 under the name with _base64. */
    private static void named(String before, String name, byte[] bytes, StringBuilder out) {
        out.append(before).append('"').append(name);
        if (bytes == null) {
            out.append("\":null");
            return;
        }
        try {
            var decoder = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT);
            String value = decoder.decode(ByteBuffer.wrap(bytes)).toString();
            out.append("\":");
            text(value, out);
        } catch (CharacterCodingException notText) {
            out.append("_base64\":\"").append(Base64.getEncoder().encodeToString(bytes)).append('"');
        }
    }

    private static void text(String value, StringBuilder out) {
        out.append('"');
        for (char letter : value.toCharArray()) {
            switch (letter) {
                case '"': out.append("\\\""); break;
                case '\\': out.append("\\\\"); break;
                case '\b': out.append("\\b"); break;
                case '\t': out.append("\\t"); break;
                case '\n': out.append("\\n"); break;
                case '\f': out.append("\\f"); break;
                case '\r': out.append("\\r"); break;
                default:
                    if (letter < 0x20) {
                        out.append(String.format("\\u%04X", (int) letter));
                    } else {
                        out.append(letter);
                    }
            }
        }
        out.append('"');
    }
}
