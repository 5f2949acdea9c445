import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.requests.ElectLeadersRequest;
import org.apache.kafka.common.requests.ElectLeadersResponse;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Producers that send one record at a time, and an admin client, behind one line a command.
 *
 * Record N has a value that begins with "mN." and is N + 32 bytes long: a log line shows no value, but its size.
 */
public class LiveFailover {
    private static String servers;
    private static Admin admin;
    private static final Map<String, KafkaProducer<String, String>> PRODUCERS = new HashMap<>();
    private static final Map<String, Future<RecordMetadata>> SENT = new HashMap<>();

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        servers = args[0];
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        properties.put("default.api.timeout.ms", "20000");
        properties.put("request.timeout.ms", "2500");
        admin = Admin.create(properties);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = commands.readLine()) != null) {
            String answer;
            try {
                answer = "ok " + run(line.split(" "));
            } catch (Throwable error) {
                Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
                answer = "error " + cause;
            }
            answers.println(answer.replace('\n', ' '));
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static String run(String[] args) throws Exception {
        switch (args[0]) {
            case "create": return create(args);
            case "describe": return describe(args[1]);
            case "reorder": return reorder(args);
            case "elect": return elect(args);
            case "feature": return feature(args[1]);
            case "open": return open(args);
            case "send": return send(args);
            case "await": return await(args);
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    private static List<Integer> ids(String list) {
        return Arrays.stream(list.split(",")).map(Integer::parseInt).toList();
    }

    /** create TOPIC BROKERS key=value...: a topic of one partition. */
    private static String create(String[] args) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 3; i < args.length; i++) {
            configs.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        }
        NewTopic topic = new NewTopic(args[1], Map.of(0, ids(args[2]))).configs(configs);
        admin.createTopics(List.of(topic)).all().get();
        return "";
    }

    /** describe TOPIC: leader, in-sync replicas, replicas. */
    private static String describe(String topic) throws Exception {
        TopicPartitionInfo info = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().get(0);
        String isr = String.join(",", info.isr().stream().map(Node::idString).sorted().toList());
        String replicas = String.join(",", info.replicas().stream().map(Node::idString).toList());
        return (info.leader() == null ? "-1" : info.leader().idString()) + " " + isr + " " + replicas;
    }

    /** reorder TOPIC BROKERS: the same replicas in another order. */
    private static String reorder(String[] args) throws Exception {
        TopicPartition partition = new TopicPartition(args[1], 0);
        admin.alterPartitionReassignments(Map.of(partition, Optional.of(new NewPartitionReassignment(ids(args[2])))))
            .all().get();
        return "";
    }

    /**
     * elect TOPIC BROKER: preferred leader election. It is asked of this broker: an admin client may ask one that is paused.
     */
    private static String elect(String[] args) throws Exception {
        ElectLeadersRequest request = new ElectLeadersRequest.Builder(
            ElectionType.PREFERRED, Set.of(new TopicPartition(args[1], 0)), 3000).build();
        RequestHeader header = new RequestHeader(ApiKeys.ELECT_LEADERS, request.version(), "elect", 1);
        String[] address = servers.split(",")[Integer.parseInt(args[2]) - 1].split(":");
        try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
            socket.setSoTimeout(4000);
            ByteBuffer bytes = request.serializeWithHeader(header);
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            out.writeInt(bytes.remaining());
            out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
            out.flush();
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = new byte[in.readInt()];
            in.readFully(answer);
            ElectLeadersResponse response = (ElectLeadersResponse)
                AbstractResponse.parseResponse(ByteBuffer.wrap(answer), header);
            Errors error = Errors.forCode(response.data().errorCode());
            for (var topic : response.data().replicaElectionResults()) {
                error = Errors.forCode(topic.partitionResult().get(0).errorCode());
            }
            if (error != Errors.NONE) {
                throw error.exception();
            }
        }
        return "";
    }

    /** feature NAME: its finalized level; 0 when it is off. */
    private static String feature(String name) throws Exception {
        var range = admin.describeFeatures().featureMetadata().get().finalizedFeatures().get(name);
        return range == null ? "0" : "" + range.maxVersionLevel();
    }

    /** open NAME key=value...: a producer with these settings, under a name. */
    private static String open(String[] args) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        properties.put("key.serializer", StringSerializer.class.getName());
        properties.put("value.serializer", StringSerializer.class.getName());
        properties.put("linger.ms", "0");
        // A record a batch: no second one fits into what is set aside for the first.
        properties.put("batch.size", "0");
        for (int i = 2; i < args.length; i++) {
            properties.put(args[i].split("=", 2)[0], args[i].split("=", 2)[1]);
        }
        KafkaProducer<String, String> before = PRODUCERS.put(args[1], new KafkaProducer<>(properties));
        if (before != null) {
            before.close(java.time.Duration.ZERO);
        }
        return "";
    }

    /** send NAME TOPIC N: sends record N, and waits for nothing but the topic's metadata. */
    private static String send(String[] args) {
        int number = Integer.parseInt(args[3]);
        String value = "m" + number + ".".repeat(number + 31 - args[3].length());
        ProducerRecord<String, String> record = new ProducerRecord<>(args[2], 0, null, value);
        SENT.put(args[2] + " " + number, PRODUCERS.get(args[1]).send(record));
        return "";
    }

    /** await TOPIC N MS: the offset of record N, or "pending" when there is no answer within so many ms. */
    private static String await(String[] args) throws Exception {
        try {
            return "" + SENT.get(args[1] + " " + args[2]).get(Long.parseLong(args[3]), TimeUnit.MILLISECONDS).offset();
        } catch (TimeoutException e) {
            return "pending";
        }
    }
}
