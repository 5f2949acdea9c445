import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.metadata.*;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.image.MetadataImage;
import org.apache.kafka.image.loader.MetadataBatchLoader;
import org.apache.kafka.image.node.MetadataImageNode;
import org.apache.kafka.metadata.SupportedConfigChecker;
import org.apache.kafka.metadata.util.BatchFileReader;
import org.apache.kafka.metadata.util.BatchFileWriter;
import org.apache.kafka.raft.Batch;
import org.apache.kafka.raft.LeaderAndEpoch;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.shell.node.printer.ShellNodePrinter;

/**
 * The metadata of a cluster behind one line a command: made and described by Kafka's admin client, and as records made
 * into an image by the classes of a broker.
 */
public class LiveMetadata {
    private final Admin admin;

    private LiveMetadata(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        this.admin = bootstrap.isEmpty() ? null : Admin.create(settings);
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        // What prints must not be taken for an answer.
        System.setOut(System.err);
        LiveMetadata live = new LiveMetadata(args.length > 0 ? args[0] : "");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = commands.readLine()) != null) {
            String answer;
            try {
                answer = "ok " + live.run(line.split(" "));
            } catch (Throwable error) {
                error.printStackTrace();
                answer = "error " + error;
            }
            answers.println(answer.replace('\n', ' '));
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private String run(String[] args) throws Exception {
        switch (args[0]) {
            case "first": return first();
            case "second": return second();
            case "describe": return describe(Path.of(args[1]));
            case "records": return records(Path.of(args[1]), Long.parseLong(args[2]), Integer.parseInt(args[3]));
            case "image": return image(Path.of(args[1]), Path.of(args[2]));
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    private void topic(String name, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
    }

    private void config(ConfigResource.Type type, String name, String key, String value) throws Exception {
        AlterConfigOp.OpType op = value == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), op));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(type, name), ops)).all().get();
    }

    private void quota(Map<String, String> entity, String key, Double value) throws Exception {
        ClientQuotaAlteration.Op op = new ClientQuotaAlteration.Op(key, value);
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(entity), List.of(op)))).all().get();
    }

    private static AclBinding acl(ResourceType type, String name, PatternType pattern, String user, AclOperation operation) {
        AccessControlEntry entry = new AccessControlEntry(user, "*", operation, AclPermissionType.ALLOW);
        return new AclBinding(new ResourcePattern(type, name, pattern), entry);
    }

    private void scram(String user, ScramMechanism mechanism, int iterations) throws Exception {
        ScramCredentialInfo info = new ScramCredentialInfo(mechanism, iterations);
        admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion(user, info, "secret-of-" + user))).all().get();
    }

    /** What goes into the first snapshot. */
    private String first() throws Exception {
        topic("orders", 3, Map.of("retention.ms", "86400000", "cleanup.policy", "compact"));
        topic("payments", 1, Map.of());
        topic("gone", 2, Map.of("retention.ms", "1000"));
        topic("a.b_c-d", 1, Map.of("segment.bytes", "1048576"));
        config(ConfigResource.Type.TOPIC, "orders", "retention.ms", "172800000");
        config(ConfigResource.Type.BROKER, "", "log.cleaner.threads", "2");
        config(ConfigResource.Type.BROKER, "1", "log.cleaner.backoff.ms", "20000");
        config(ConfigResource.Type.CLIENT_METRICS, "subscription", "interval.ms", "60000");
        config(ConfigResource.Type.GROUP, "billing", "consumer.session.timeout.ms", "50000");
        quota(Map.of("user", "alice"), "consumer_byte_rate", 20000000.0);
        quota(Map.of("user", "alice", "client-id", "app/1"), "producer_byte_rate", 1048576.0);
        quota(Map.of("client-id", "a(b)\\c"), "request_percentage", 12.5);
        quota(Map.of("ip", "10.0.0.1"), "connection_creation_rate", 3.0);
        quota(Map.of("user", "bob"), "consumer_byte_rate", 5.0);
        scram("alice", ScramMechanism.SCRAM_SHA_256, 4096);
        scram("alice", ScramMechanism.SCRAM_SHA_512, 8192);
        scram("bob", ScramMechanism.SCRAM_SHA_256, 5000);
        admin.createAcls(List.of(
            acl(ResourceType.TOPIC, "orders", PatternType.LITERAL, "User:alice", AclOperation.READ),
            acl(ResourceType.TOPIC, "pay", PatternType.PREFIXED, "User:bob", AclOperation.WRITE),
            acl(ResourceType.GROUP, "*", PatternType.LITERAL, "User:*", AclOperation.DESCRIBE),
            acl(ResourceType.CLUSTER, "kafka-cluster", PatternType.LITERAL, "User:carol", AclOperation.ALTER_CONFIGS)
        )).all().get();
        return "";
    }

    /** What comes behind it, and takes back some of the first. */
    private String second() throws Exception {
        topic("late", 2, Map.of("max.message.bytes", "2000000"));
        admin.createPartitions(Map.of("payments", NewPartitions.increaseTo(4))).all().get();
        admin.deleteTopics(List.of("gone")).all().get();
        topic("gone", 1, Map.of());
        admin.deleteTopics(List.of("a.b_c-d")).all().get();
        config(ConfigResource.Type.TOPIC, "orders", "cleanup.policy", null);
        config(ConfigResource.Type.BROKER, "", "log.cleaner.threads", null);
        quota(Map.of("user", "bob"), "consumer_byte_rate", null);
        quota(Map.of("user", "alice"), "producer_byte_rate", 7.0);
        scram("alice", ScramMechanism.SCRAM_SHA_256, 16384);
        admin.alterUserScramCredentials(List.of(new UserScramCredentialDeletion("bob", ScramMechanism.SCRAM_SHA_256))).all().get();
        AclBinding removed = acl(ResourceType.TOPIC, "pay", PatternType.PREFIXED, "User:bob", AclOperation.WRITE);
        admin.deleteAcls(List.of(removed.toFilter())).all().get();
        admin.createAcls(List.of(acl(ResourceType.TRANSACTIONAL_ID, "t", PatternType.LITERAL, "User:dan", AclOperation.ALL))).all().get();
        return "";
    }

    /** All that the admin client says of the cluster, as one JSON document. */
    private String describe(Path out) throws Exception {
        Map<String, Object> all = new TreeMap<>();
        Collection<String> names = admin.listTopics().names().get();
        Map<String, Object> topics = new TreeMap<>();
        List<ConfigResource> resources = new ArrayList<>();
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            List<Object> partitions = new ArrayList<>();
            for (TopicPartitionInfo partition : topic.partitions()) {
                Map<String, Object> row = new TreeMap<>();
                row.put("partition", partition.partition());
                row.put("leader", partition.leader() == null ? -1 : partition.leader().id());
                row.put("replicas", partition.replicas().stream().map(node -> node.id()).toList());
                row.put("isr", partition.isr().stream().map(node -> node.id()).toList());
                row.put("elr", partition.elr().stream().map(node -> node.id()).toList());
                row.put("last_known_elr", partition.lastKnownElr().stream().map(node -> node.id()).toList());
                partitions.add(row);
            }
            topics.put(topic.name(), Map.of("topic_id", topic.topicId().toString(), "partitions", partitions));
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic.name()));
        }
        all.put("topics", topics);
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, ""));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, "1"));
        resources.add(new ConfigResource(ConfigResource.Type.CLIENT_METRICS, "subscription"));
        resources.add(new ConfigResource(ConfigResource.Type.GROUP, "billing"));
        Map<String, Object> configs = new TreeMap<>();
        for (Map.Entry<ConfigResource, Config> entry : admin.describeConfigs(resources).all().get().entrySet()) {
            ConfigEntry.ConfigSource own = switch (entry.getKey().type()) {
                case TOPIC -> ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG;
                case CLIENT_METRICS -> ConfigEntry.ConfigSource.DYNAMIC_CLIENT_METRICS_CONFIG;
                case GROUP -> ConfigEntry.ConfigSource.DYNAMIC_GROUP_CONFIG;
                default -> entry.getKey().name().isEmpty()
                    ? ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG
                    : ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG;
            };
            Map<String, String> settings = new TreeMap<>();
            for (ConfigEntry setting : entry.getValue().entries()) {
                if (setting.source() == own) {
                    settings.put(setting.name(), setting.value());
                }
            }
            if (!settings.isEmpty()) {
                String name = entry.getKey().name();
                configs.put(entry.getKey().type() + (name.isEmpty() ? "" : ":" + name), settings);
            }
        }
        all.put("configs", configs);
        List<Object> brokers = new ArrayList<>();
        admin.describeCluster().nodes().get().forEach(node -> {
            Map<String, Object> row = new TreeMap<>();
            row.put("id", node.id());
            row.put("host", node.host());
            row.put("port", node.port());
            row.put("rack", node.rack());
            brokers.add(row);
        });
        all.put("brokers", brokers);
        Map<String, Object> features = new TreeMap<>();
        admin.describeFeatures().featureMetadata().get().finalizedFeatures()
            .forEach((name, range) -> features.put(name, range.maxVersionLevel()));
        all.put("features", features);
        List<Object> quotas = new ArrayList<>();
        admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get()
            .forEach((entity, values) -> quotas.add(Map.of("entity", entity.entries(), "values", values)));
        all.put("quotas", quotas);
        List<Object> acls = new ArrayList<>();
        for (AclBinding acl : admin.describeAcls(AclBindingFilter.ANY).values().get()) {
            acls.add(List.of(acl.pattern().resourceType().name(), acl.pattern().name(), acl.pattern().patternType().name(),
                acl.entry().principal(), acl.entry().host(), acl.entry().operation().name(), acl.entry().permissionType().name()));
        }
        all.put("acls", acls);
        List<Object> scram = new ArrayList<>();
        admin.describeUserScramCredentials().all().get().forEach((user, description) ->
            description.credentialInfos().forEach(info ->
                scram.add(List.of(info.mechanism().mechanismName(), user, info.iterations()))));
        all.put("scram", scram);
        List<Object> voters = new ArrayList<>();
        admin.describeMetadataQuorum().quorumInfo().get().voters()
            .forEach(voter -> voters.add(List.of(voter.replicaId(), voter.replicaDirectoryId().toString())));
        all.put("voters", voters);
        all.put("leader", admin.describeMetadataQuorum().quorumInfo().get().leaderId());
        Files.writeString(out, new ObjectMapper().writeValueAsString(all));
        return "";
    }

    /** A file of records in an order a controller could have written, of every type that an image keeps. */
    private String records(Path file, long seed, int count) throws Exception {
        Random random = new Random(seed);
        try (BatchFileWriter writer = BatchFileWriter.open(file)) {
            Maker maker = new Maker(random);
            writer.append(new ApiMessageAndVersion(new FeatureLevelRecord().setName("metadata.version").setFeatureLevel((short) 30), (short) 0));
            for (int i = 0; i < count; i++) {
                writer.append(maker.next());
            }
        }
        return "";
    }

    /** The image that the records of a file come to, as the metadata shell prints it. */
    private String image(Path file, Path out) throws Exception {
        MetadataImage[] last = {MetadataImage.EMPTY};
        int[] faults = {0};
        MetadataBatchLoader loader = new MetadataBatchLoader(new LogContext(), Time.SYSTEM, (message, error) -> {
            faults[0]++;
            return new RuntimeException(message, error);
        }, (delta, image, manifest) -> last[0] = image, SupportedConfigChecker.TRUE);
        loader.resetToImage(MetadataImage.EMPTY);
        LeaderAndEpoch leader = LeaderAndEpoch.UNKNOWN;
        try (BatchFileReader reader = new BatchFileReader.Builder().setPath(file.toString()).build()) {
            while (reader.hasNext()) {
                BatchFileReader.BatchAndType batch = reader.next();
                if (batch.isControl()) {
                    continue;
                }
                // Each record by itself: ScramDelta.apply loses users where one delta takes away the last one and adds others.
                long offset = batch.batch().baseOffset();
                for (ApiMessageAndVersion record : batch.batch().records()) {
                    loader.loadBatch(Batch.data(offset++, batch.batch().epoch(), batch.batch().appendTimestamp(), 1, List.of(record)), leader);
                    loader.maybeFlushBatches(leader, true);
                }
            }
        }
        try (PrintWriter writer = new PrintWriter(Files.newBufferedWriter(out))) {
            new MetadataImageNode(last[0]).print(new ShellNodePrinter(writer));
        }
        return "" + faults[0];
    }

    /** Makes records that follow on each other. */
    private static class Maker {
        private final Random random;
        private final Map<String, Uuid> topics = new HashMap<>();
        private final Map<Uuid, Integer> partitions = new HashMap<>();
        private final Map<Integer, Long> brokers = new HashMap<>();
        private final List<Uuid> acls = new ArrayList<>();
        /** The state from before a transaction. */
        private Maker before;

        private Maker(Random random) {
            this.random = random;
        }

        private static ApiMessageAndVersion of(ApiMessage message, int version) {
            return new ApiMessageAndVersion(message, (short) version);
        }

        private Uuid id() {
            return new Uuid(random.nextLong(), random.nextLong());
        }

        private List<Integer> ids(int count) {
            List<Integer> found = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                found.add(random.nextInt(9));
            }
            return found;
        }

        private List<Uuid> dirs(int count) {
            List<Uuid> found = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                found.add(random.nextInt(4) == 0 ? new Uuid(0, 1) : id());
            }
            return found;
        }

        private <T> T any(Collection<T> of) {
            return new ArrayList<>(of).get(random.nextInt(of.size()));
        }

        private String name() {
            String[] names = {"a", "orders", "x.y", "Z_1", "\u00fc", "q(r)", "s\\t", "\uffee", "\ud83d\ude00"};
            return names[random.nextInt(names.length)];
        }

        private byte[] bytes() {
            byte[] found = new byte[random.nextInt(6)];
            random.nextBytes(found);
            return found;
        }

        private List<ApiMessageAndVersion> next() {
            List<ApiMessageAndVersion> batch = new ArrayList<>();
            if (before == null && random.nextInt(20) == 0) {
                before = new Maker(random);
                before.take(this);
                batch.add(of(new BeginTransactionRecord().setName("some"), 0));
            }
            for (int i = random.nextInt(4); i >= 0; i--) {
                batch.addAll(one());
            }
            if (before != null && random.nextInt(3) == 0) {
                batch.add(end());
            }
            return batch;
        }

        private ApiMessageAndVersion end() {
            Maker old = before;
            before = null;
            if (random.nextBoolean()) {
                return of(new EndTransactionRecord(), 0);
            }
            take(old);
            return of(new AbortTransactionRecord().setReason("some"), 0);
        }

        private void take(Maker other) {
            topics.clear();
            topics.putAll(other.topics);
            partitions.clear();
            partitions.putAll(other.partitions);
            brokers.clear();
            brokers.putAll(other.brokers);
            acls.clear();
            acls.addAll(other.acls);
        }

        private List<ApiMessageAndVersion> one() {
            switch (random.nextInt(24)) {
                case 0: case 1: {
                    String name = name() + random.nextInt(30);
                    if (topics.containsKey(name)) {
                        return List.of();
                    }
                    Uuid topic = id();
                    topics.put(name, topic);
                    int count = 1 + random.nextInt(3);
                    partitions.put(topic, count);
                    List<ApiMessageAndVersion> made = new ArrayList<>();
                    made.add(of(new TopicRecord().setName(name).setTopicId(topic), 0));
                    for (int i = 0; i < count; i++) {
                        made.add(partition(topic, i));
                    }
                    return made;
                }
                case 2: case 3: case 4: case 5: {
                    if (topics.isEmpty()) {
                        return List.of();
                    }
                    Uuid topic = any(topics.values());
                    return List.of(change(topic, random.nextInt(partitions.get(topic))));
                }
                case 6: {
                    if (topics.isEmpty()) {
                        return List.of();
                    }
                    Uuid topic = any(topics.values());
                    return List.of(partition(topic, random.nextInt(partitions.get(topic))));
                }
                case 7: {
                    byte[] types = {2, 4, 8, 16, 32, 77};
                    return List.of(of(new ConfigRecord().setResourceType(types[random.nextInt(types.length)])
                        .setResourceName(random.nextBoolean() ? "" : "r" + random.nextInt(3)).setName("k" + random.nextInt(3))
                        .setValue(random.nextInt(3) == 0 ? null : "v" + random.nextInt(9)), 0));
                }
                case 8: case 9: {
                    int broker = random.nextInt(5);
                    long epoch = random.nextInt(100);
                    brokers.put(broker, epoch);
                    RegisterBrokerRecord record = new RegisterBrokerRecord().setBrokerId(broker).setBrokerEpoch(epoch)
                        .setIncarnationId(id()).setFenced(random.nextBoolean()).setInControlledShutdown(random.nextBoolean())
                        .setRack(random.nextBoolean() ? null : "rack" + random.nextInt(3)).setLogDirs(dirs(random.nextInt(4)));
                    for (int i = random.nextInt(3); i >= 0; i--) {
                        record.endPoints().add(new RegisterBrokerRecord.BrokerEndpoint().setName("L" + i).setHost("h" + i)
                            .setPort(random.nextInt(65536)).setSecurityProtocol((short) random.nextInt(4)));
                        record.features().add(new RegisterBrokerRecord.BrokerFeature().setName("f" + i)
                            .setMinSupportedVersion((short) random.nextInt(2)).setMaxSupportedVersion(random.nextBoolean() ? 1 : Short.MAX_VALUE));
                    }
                    int version = random.nextInt(2) + 3;
                    if (version == 4 && random.nextBoolean()) {
                        record.setCordonedLogDirs(dirs(random.nextInt(3)));
                    }
                    return List.of(of(record, version));
                }
                case 10: case 11: {
                    if (brokers.isEmpty()) {
                        return List.of();
                    }
                    int broker = any(brokers.keySet());
                    BrokerRegistrationChangeRecord record = new BrokerRegistrationChangeRecord().setBrokerId(broker)
                        .setBrokerEpoch(brokers.get(broker)).setFenced((byte) (random.nextInt(3) - 1))
                        .setInControlledShutdown((byte) random.nextInt(2)).setLogDirs(dirs(random.nextInt(3)));
                    if (random.nextBoolean()) {
                        record.setCordonedLogDirs(dirs(random.nextInt(2)));
                    }
                    return List.of(of(record, 3));
                }
                case 12: {
                    if (brokers.isEmpty()) {
                        return List.of();
                    }
                    int broker = any(brokers.keySet());
                    // Now and then of another epoch, which a broker refuses.
                    long epoch = brokers.get(broker) + (random.nextInt(5) == 0 ? 1 : 0);
                    if (random.nextInt(4) == 0) {
                        brokers.remove(broker);
                        return List.of(of(new UnregisterBrokerRecord().setBrokerId(broker).setBrokerEpoch(epoch), 0));
                    }
                    return List.of(random.nextBoolean()
                        ? of(new FenceBrokerRecord().setId(broker).setEpoch(epoch), 0)
                        : of(new UnfenceBrokerRecord().setId(broker).setEpoch(epoch), 0));
                }
                case 13: {
                    DelegationTokenRecord record = new DelegationTokenRecord().setTokenId("token" + random.nextInt(4))
                        .setOwner("User:" + name()).setRequester("User:r").setIssueTimestamp(random.nextInt())
                        .setMaxTimestamp(random.nextInt()).setExpirationTimestamp(random.nextInt());
                    for (int i = random.nextInt(3); i > 0; i--) {
                        record.renewers().add("User:renewer" + i);
                    }
                    return List.of(of(record, 0));
                }
                case 14:
                    return List.of(of(new RemoveDelegationTokenRecord().setTokenId("token" + random.nextInt(4)), 0));
                case 15: {
                    return List.of(of(new UserScramCredentialRecord().setName(name()).setMechanism((byte) (1 + random.nextInt(2)))
                        .setSalt(bytes()).setStoredKey(bytes()).setServerKey(bytes()).setIterations(random.nextInt(9999)), 0));
                }
                case 16:
                    return List.of(of(new RemoveUserScramCredentialRecord().setName(name()).setMechanism((byte) (1 + random.nextInt(2))), 0));
                case 17: {
                    String[] names = {"metadata.version", "group.version", "kraft.version", "transaction.version"};
                    String feature = names[random.nextInt(names.length)];
                    int level = feature.equals("metadata.version") ? 7 + random.nextInt(24) : random.nextInt(3);
                    return List.of(of(new FeatureLevelRecord().setName(feature).setFeatureLevel((short) level), 0));
                }
                case 18: {
                    String[][] kinds = {{"user"}, {"client-id"}, {"ip"}, {"user", "client-id"}};
                    ClientQuotaRecord record = new ClientQuotaRecord().setKey("rate" + random.nextInt(3))
                        .setValue(random.nextBoolean() ? random.nextDouble() * 1e9 : random.nextInt(2000)).setRemove(random.nextInt(3) == 0);
                    for (String kind : kinds[random.nextInt(kinds.length)]) {
                        record.entity().add(new ClientQuotaRecord.EntityData().setEntityType(kind).setEntityName(name()));
                    }
                    return List.of(of(record, 0));
                }
                case 19:
                    return List.of(of(new ProducerIdsRecord().setBrokerId(1).setBrokerEpoch(2).setNextProducerId(random.nextInt(99999)), 0));
                case 20: {
                    if (random.nextInt(3) == 0 && !acls.isEmpty()) {
                        Uuid acl = acls.remove(random.nextInt(acls.size()));
                        return List.of(of(new RemoveAccessControlEntryRecord().setId(acl), 0));
                    }
                    Uuid acl = id();
                    acls.add(acl);
                    return List.of(of(new AccessControlEntryRecord().setId(acl).setResourceType((byte) random.nextInt(9))
                        .setResourceName(name()).setPatternType((byte) random.nextInt(6)).setPrincipal("User:" + name())
                        .setHost("*").setOperation((byte) random.nextInt(17)).setPermissionType((byte) random.nextInt(5)), 0));
                }
                case 21: {
                    RegisterControllerRecord record = new RegisterControllerRecord().setControllerId(random.nextInt(3) + 100)
                        .setIncarnationId(id()).setZkMigrationReady(random.nextBoolean());
                    record.endPoints().add(new RegisterControllerRecord.ControllerEndpoint().setName("C").setHost("h")
                        .setPort(random.nextInt(65536)).setSecurityProtocol((short) random.nextInt(4)));
                    record.features().add(new RegisterControllerRecord.ControllerFeature().setName("metadata.version")
                        .setMinSupportedVersion((short) 7).setMaxSupportedVersion((short) 30));
                    return List.of(of(record, 0));
                }
                case 22: {
                    if (topics.isEmpty() || random.nextInt(3) == 0) {
                        return List.of(of(new NoOpRecord(), 0), of(new ZkMigrationStateRecord().setZkMigrationState((byte) 1), 0));
                    }
                    String topic = random.nextInt(3) == 0 ? "" : any(topics.keySet());
                    return List.of(of(new ClearElrRecord().setTopicName(topic), 0));
                }
                default: {
                    if (topics.size() < 4) {
                        return List.of();
                    }
                    String topic = any(topics.keySet());
                    Uuid removed = topics.remove(topic);
                    partitions.remove(removed);
                    return List.of(of(new RemoveTopicRecord().setTopicId(removed), 0));
                }
            }
        }

        private ApiMessageAndVersion partition(Uuid topic, int partition) {
            int replicas = 1 + random.nextInt(4);
            int version = random.nextInt(3);
            PartitionRecord record = new PartitionRecord().setPartitionId(partition).setTopicId(topic).setReplicas(ids(replicas))
                .setIsr(ids(random.nextInt(3))).setRemovingReplicas(ids(random.nextInt(2))).setAddingReplicas(ids(random.nextInt(2)))
                .setLeader(random.nextInt(5) - 1).setLeaderEpoch(random.nextInt(9)).setPartitionEpoch(random.nextInt(9))
                .setLeaderRecoveryState((byte) random.nextInt(2));
            if (version > 0 && random.nextBoolean()) {
                record.setDirectories(dirs(replicas));
            }
            if (version > 1) {
                record.setEligibleLeaderReplicas(ids(random.nextInt(3))).setLastKnownElr(ids(random.nextInt(2)));
            }
            return of(record, version);
        }

        private ApiMessageAndVersion change(Uuid topic, int partition) {
            PartitionChangeRecord record = new PartitionChangeRecord().setPartitionId(partition).setTopicId(topic);
            if (random.nextBoolean()) {
                record.setIsr(ids(random.nextInt(3)));
            }
            if (random.nextBoolean()) {
                record.setLeader(random.nextInt(5) - 1);
            }
            if (random.nextInt(3) == 0) {
                int replicas = 1 + random.nextInt(4);
                record.setReplicas(ids(replicas)).setDirectories(dirs(replicas));
            }
            if (random.nextInt(4) == 0) {
                record.setRemovingReplicas(ids(random.nextInt(2))).setAddingReplicas(ids(random.nextInt(2)));
            }
            if (random.nextInt(3) == 0) {
                record.setLeaderRecoveryState((byte) (random.nextInt(3) - 1));
            }
            if (random.nextInt(3) == 0) {
                record.setEligibleLeaderReplicas(ids(random.nextInt(3))).setLastKnownElr(ids(random.nextInt(2)));
            }
            return of(record, 2);
        }
    }
}
