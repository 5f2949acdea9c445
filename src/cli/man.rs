//! `logdir man`: one page per command, from the same definitions as the help.
//!
//! What the definitions do not say is in [`PAGES`]: examples, which the long help shows first, and the
//! Kafka tool that does the same.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::ui::{CODES, Ui};
use super::{Cli, Outcome};

/// What a page says beyond the options.
pub struct Page {
    /// Command; empty for `logdir` itself.
    pub command: &'static str,
    /// Command lines and what they do.
    pub examples: &'static [(&'static str, &'static str)],
    /// The tools people know for this.
    pub kafka: &'static str,
}

/// All pages.
pub const PAGES: &[Page] = &[
    Page {
        command: "",
        examples: &[
            ("logdir consume -d data -t orders -o -10", "last ten records of each partition"),
            ("logdir dump-segment data/orders-0", "the batches of a partition"),
            ("logdir consume data/orders-0 --json | jq -r .value", "values, by way of JSON"),
        ],
        kafka: "Every command stands in for one of Kafka's own tools, without a broker; its page names it.",
    },
    Page {
        command: "produce",
        examples: &[
            (
                "seq 1000 | logdir produce -t numbers --create 3",
                "a line each, to a topic that is made if it is missing",
            ),
            ("logdir produce -t orders -K: -z lz4 < pairs.txt", "keys before the colon, values after it, compressed"),
            (
                "logdir consume -t orders --json | logdir produce -d copy -t orders --create 3 --input json",
                "the same records in another directory",
            ),
        ],
        kafka: "kafka-console-producer.sh; --property takes its settings. kcat -P: the same letters.",
    },
    Page {
        command: "consume",
        examples: &[
            ("logdir consume -t orders -o -10", "last ten of each partition"),
            ("logdir consume data/orders-0 -o @-1h -f '%o\\t%k\\t%s\\n'", "the last hour, by a format"),
            ("logdir consume -t orders --json | jq -r .value", "lossless JSON lines"),
        ],
        kafka: "kafka-console-consumer.sh (its --property settings work here), kcat -C, rpk topic consume.",
    },
    Page {
        command: "dump-segment",
        examples: &[
            ("logdir dump-segment data/orders-0/00000000000000000000.log -c 2", "the first two batches"),
            ("logdir dump-segment data/orders-0 --records -o 4000:4010", "ten records with their batch's fields"),
            (
                "logdir dump-segment --files data/orders-0/00000000000000000000.log --print-data-log --output kafka",
                "the text of kafka-dump-log.sh",
            ),
        ],
        kafka: "kafka-dump-log.sh: the same options; --output kafka gives its text.",
    },
    Page {
        command: "verify-index",
        examples: &[
            ("logdir verify-index data/orders-0", "each index of a partition: exact, equivalent or corrupt"),
            ("logdir verify-index -d data --json | jq -r 'select(.result==\"corrupt\").path'", "the corrupt ones"),
            ("logdir verify-index data/orders-0 --rebuild --execute", "make wrong and missing ones again from the log"),
        ],
        kafka: "kafka-dump-log.sh --verify-index-only, which exits 0 on a wrong index, and --index-sanity-check.",
    },
    Page {
        command: "verify",
        examples: &[
            ("logdir verify -d data", "everything about a log directory"),
            ("logdir verify -d data --json | jq 'select(.grade==\"loses_data\")'", "the findings that cost records"),
            ("logdir verify --forecast -d data", "what a broker would do with the directory at its next start"),
        ],
        kafka: "No tool of Kafka's; a broker checks little of it at a clean start, and deletes what it finds at another.",
    },
    Page {
        command: "metadata",
        examples: &[
            ("logdir metadata tree -d data", "the whole cluster: brokers, topics, settings, quotas, access control"),
            (
                "logdir metadata get /image/topics/byName/orders/0 -d data --json",
                "leader, replicas and ISR of a partition",
            ),
            ("logdir metadata diff @-1h end -d data", "what changed in the last hour, and the records that did it"),
        ],
        kafka: "kafka-metadata-shell.sh: the same tree, by the same names and globs; diff and log have no counterpart.",
    },
    Page {
        command: "partition-of",
        examples: &[
            ("logdir partition-of customer-77 --partitions 12", "where the Java producer sends this key"),
            ("cut -f1 keys.tsv | logdir partition-of - -d data -t orders --json", "keys from stdin, for a topic there"),
            ("logdir partition-of --group billing", "which partition of __consumer_offsets holds the group"),
        ],
        kafka: "None. The rules are those of the Java producer, librdkafka and the coordinators.",
    },
    Page {
        command: "recover",
        examples: &[
            ("logdir recover data/orders-0", "what a broker would cut at its next start; nothing is written"),
            (
                "logdir recover -d data --mode salvage --in-place --execute",
                "keep every sound batch, and the originals until --commit",
            ),
            (
                "logdir recover -d data -t orders --mode merge --from /mnt/broker2/data --to repaired --execute",
                "fill the holes from a replica, into a new log directory",
            ),
        ],
        kafka: "The recovery of a broker's start (LogLoader); salvage and merge have no counterpart.",
    },
    Page {
        command: "log-dirs",
        examples: &[
            ("logdir log-dirs -d data --sort size --top 20", "the largest partitions"),
            ("logdir log-dirs -d /disk1/data,/disk2/data --by dir", "what is on each disk, and strays and duplicates"),
            (
                "logdir log-dirs -d data --output prometheus > logdir.prom",
                "for the textfile collector of node_exporter",
            ),
        ],
        kafka: "kafka-log-dirs.sh --describe; --output kafka gives its text.",
    },
    Page {
        command: "offsets",
        examples: &[
            ("logdir offsets -d data -t orders", "the end of each partition of a topic"),
            ("logdir offsets -d data -t orders --time earliest --time max-timestamp --time @-1h", "several at once"),
            (
                "logdir offsets -d data --topic-partitions orders:0,payments:1-3 --output kafka",
                "the text of kafka-get-offsets.sh",
            ),
        ],
        kafka: "kafka-get-offsets.sh: the same --time, --topic-partitions and --exclude-internal-topics; kcat -Q.",
    },
    Page {
        command: "transactions",
        examples: &[
            (
                "logdir transactions list -d data",
                "transactional ids, their producers and what became of their transactions",
            ),
            (
                "logdir transactions list --by partition -d data -t orders",
                "transactions open in the partitions of a topic, and what they block",
            ),
            (
                "logdir transactions find-hanging -d /mnt/broker1/data,/mnt/broker2/data",
                "those that no coordinator will end, over two brokers; exits 1 when there is one",
            ),
        ],
        kafka: "kafka-transactions.sh list, describe, describe-producers, find-hanging; --output kafka gives its text.",
    },
    Page {
        command: "groups",
        examples: &[
            ("logdir groups list -d data", "groups of every kind, their members and what they have committed"),
            ("logdir groups describe billing -d data", "committed offsets and how far behind they are"),
            (
                "logdir groups describe --all-groups -d /mnt/broker1/data,/mnt/broker2/data --json",
                "of every group of a cluster, over the directories of two brokers",
            ),
        ],
        kafka: "kafka-consumer-groups.sh, kafka-groups.sh; --output kafka gives the text of the former.",
    },
    Page {
        command: "topics",
        examples: &[
            ("logdir topics create orders --partitions 3 -d data", "empty partitions, as a broker makes them"),
            ("logdir topics delete orders -d data --execute", "what a broker does when a topic is deleted"),
            (
                "logdir topics adopt /mnt/backup/orders-0 --to /var/lib/kafka/data --execute",
                "a partition from elsewhere, under this cluster's topic id",
            ),
        ],
        kafka: "kafka-topics.sh --create, --delete, on directories instead of a cluster; adopt has no counterpart.",
    },
    Page {
        command: "topics create",
        examples: &[
            ("logdir topics create orders --partitions 3 -d data", "in one log directory"),
            (
                "logdir topics create orders -F server.properties",
                "the partitions that the cluster's metadata assigns here",
            ),
            ("logdir topics create orders --partitions 12 -d d1,d2 -n --json", "where each partition would go"),
        ],
        kafka: "kafka-topics.sh --create. A KRaft broker serves only topics that its cluster knows.",
    },
    Page {
        command: "topics delete",
        examples: &[
            ("logdir topics delete orders -d data", "what would be renamed"),
            ("logdir topics delete -t 're:^tmp-' -d data --execute", "several, by a pattern"),
            (
                "logdir topics delete orders -p 3-5 -F server.properties --execute",
                "some partitions, in all log directories",
            ),
        ],
        kafka: "kafka-topics.sh --delete. Where the cluster still knows the topic, a broker makes it anew.",
    },
    Page {
        command: "topics adopt",
        examples: &[
            (
                "logdir topics adopt /mnt/backup/orders-0 /mnt/backup/orders-1 --to data",
                "what would be copied, and what stands in the way",
            ),
            (
                "logdir topics adopt data/orders-0.*-stray --to data --move --execute",
                "a directory that a broker set aside, under the id the topic has now",
            ),
            (
                "logdir topics adopt /mnt/backup/orders-0 --as orders-old-0 --to data --abort-open --execute",
                "under another name, its open transactions ended",
            ),
        ],
        kafka: "None.",
    },
    Page {
        command: "metadata tree",
        examples: &[
            ("logdir metadata tree -d data", "the whole cluster"),
            ("logdir metadata tree -d data --node /image/cluster", "brokers and controllers only"),
            (
                "logdir metadata tree data/__cluster_metadata-0/00000000000000001234-0000000005.checkpoint",
                "one snapshot",
            ),
        ],
        kafka: "kafka-metadata-shell.sh: tree.",
    },
    Page {
        command: "metadata get",
        examples: &[
            (
                "logdir metadata get /image/topics/byName/orders/0 -d data --json",
                "leader, replicas and ISR of a partition, as one document",
            ),
            ("logdir metadata get '/image/topics/byName/orders/*' -d data", "all partitions of a topic"),
            ("logdir metadata get /image/configs -d data -o @-1h", "settings as they were an hour ago"),
        ],
        kafka: "kafka-metadata-shell.sh: cat.",
    },
    Page {
        command: "metadata find",
        examples: &[
            ("logdir metadata find '*orders*' -d data", "paths whose last name matches"),
            ("logdir metadata find image/cluster -d data", "everything below a node"),
            ("logdir metadata find '*orders*' -d data -o @2026-11-22T10:00:00", "as the cluster was at that time"),
        ],
        kafka: "kafka-metadata-shell.sh: find.",
    },
    Page {
        command: "metadata diff",
        examples: &[
            ("logdir metadata diff @-1h end -d data", "what changed in the last hour, and which records did it"),
            ("logdir metadata diff -100 end -d data --json", "what the last hundred records changed"),
            ("logdir metadata diff old.checkpoint new.checkpoint", "two snapshots"),
        ],
        kafka: "None.",
    },
    Page {
        command: "metadata log",
        examples: &[
            ("logdir metadata log -d data -o -20", "the last twenty records"),
            (
                "logdir metadata log -d data -t orders --type partition-change",
                "what happened to the partitions of a topic",
            ),
            ("logdir metadata log -d data --broker 3 --json", "what happened to a broker"),
        ],
        kafka: "kafka-dump-log.sh --cluster-metadata-decoder; logdir dump-segment prints its text.",
    },
    Page {
        command: "groups list",
        examples: &[
            ("logdir groups list -d data", "groups with their type, state, members and committed offsets"),
            ("logdir groups list -d data --type consumer,share --state stable", "some of them"),
            ("logdir groups list -d data --state --type --output kafka", "the text of kafka-consumer-groups.sh"),
        ],
        kafka: "kafka-consumer-groups.sh --list, with the same --state and --type.",
    },
    Page {
        command: "groups describe",
        examples: &[
            ("logdir groups describe billing -d data", "committed offsets, ends of logs, lag, metadata"),
            ("logdir groups describe billing -d data --members", "members and what they are assigned"),
            ("logdir groups describe --all-groups -d data -v --output kafka", "the text of kafka-consumer-groups.sh"),
        ],
        kafka: "kafka-consumer-groups.sh --describe, with the same --offsets, --members, --state and --verbose.",
    },
    Page {
        command: "groups reset-offsets",
        examples: &[
            (
                "logdir groups reset-offsets billing -t orders --to-datetime 2026-11-22T10:00:00 -d data",
                "what going back to a moment would come to",
            ),
            (
                "logdir groups reset-offsets billing --all-topics --to-earliest --execute -d data",
                "read everything again",
            ),
            (
                "logdir groups reset-offsets billing --all-topics --to-current --export -d old | logdir groups reset-offsets billing --from-file - --execute -d new",
                "carry a group over to another cluster's directory",
            ),
        ],
        kafka: "kafka-consumer-groups.sh --reset-offsets, with its options and its CSV.",
    },
    Page {
        command: "groups commit",
        examples: &[
            ("logdir groups commit billing orders:0=42 orders:1=17 -d data", "the group goes on reading from there"),
            (
                "logdir groups commit billing orders:0=42,3 --metadata 'rewound by hand' -d data",
                "with the leader epoch of the record before it and a word beside it",
            ),
            ("logdir groups commit billing orders:0=42 -n -d data", "what that would come to"),
        ],
        kafka: "kafka-consumer-groups.sh --reset-offsets --to-offset, one partition at a time.",
    },
    Page {
        command: "groups export",
        examples: &[
            ("logdir groups export --all-groups -d data > offsets.csv", "the CSV of kafka-consumer-groups.sh --export"),
            ("logdir groups export billing -d data > billing.csv", "of one group, without its name"),
            (
                "logdir groups export --json -d /mnt/broker1/data,/mnt/broker2/data > offsets.jsonl",
                "everything that a cluster's groups have committed, for groups import",
            ),
        ],
        kafka: "kafka-consumer-groups.sh --reset-offsets --to-current --export; its --from-file reads the CSV.",
    },
    Page {
        command: "groups import",
        examples: &[
            ("logdir groups import offsets.jsonl -d data", "what would be committed, old and new"),
            ("logdir groups import offsets.jsonl --execute -d data", "commit it"),
            (
                "logdir groups export billing -d old | logdir groups import - -G invoices --execute -d new",
                "under another name, in another cluster's directory",
            ),
        ],
        kafka: "kafka-consumer-groups.sh --reset-offsets --from-file.",
    },
    Page {
        command: "groups assign",
        examples: &[
            (
                "logdir groups assign -t orders=10 --members 3 --assignor range",
                "who gets what of a topic that is made up",
            ),
            ("logdir groups assign billing --add 1 -d data", "what moves when one more consumer joins a group"),
            (
                "logdir groups assign billing --assignor cooperative-sticky -d data --json",
                "the same group under another assignor",
            ),
        ],
        kafka: "None: an assignor runs in a consumer or a broker only.",
    },
    Page {
        command: "groups delete",
        examples: &[
            ("logdir groups delete billing -d data", "what would be deleted"),
            ("logdir groups delete billing audit --execute -d data", "groups with all they have committed"),
            ("logdir groups delete billing --force --execute -d data", "a group whose members are gone and never left"),
        ],
        kafka: "kafka-consumer-groups.sh --delete.",
    },
    Page {
        command: "groups delete-offsets",
        examples: &[
            ("logdir groups delete-offsets billing -t orders -d data", "what would be deleted"),
            ("logdir groups delete-offsets billing -t orders -p 0-2 --execute -d data", "of some partitions"),
            ("logdir groups delete-offsets billing -t re:^tmp --execute -d data", "of all topics that match"),
        ],
        kafka: "kafka-consumer-groups.sh --delete-offsets.",
    },
    Page {
        command: "transactions list",
        examples: &[
            ("logdir transactions list -d data", "transactional ids, as the coordinator knows them"),
            ("logdir transactions list -d data --state Ongoing,PrepareCommit,PrepareAbort", "those going on"),
            (
                "logdir transactions list --by partition -d data -t orders",
                "transactions open in the partitions of a topic, and what they block",
            ),
        ],
        kafka: "kafka-transactions.sh list.",
    },
    Page {
        command: "transactions describe",
        examples: &[
            ("logdir transactions describe checkout-7 -d data", "state, coordinator and partitions of an id"),
            (
                "logdir transactions describe checkout-7 -d snapshot --now 2026-11-22T10:00:00Z",
                "as of when the snapshot was taken",
            ),
            (
                "logdir transactions describe --transactional-id checkout-7 -d data --output kafka",
                "the text of kafka-transactions.sh",
            ),
        ],
        kafka: "kafka-transactions.sh describe.",
    },
    Page {
        command: "transactions describe-producers",
        examples: &[
            (
                "logdir transactions describe-producers -d data -t orders -p 0",
                "epochs, sequences and open transactions",
            ),
            ("logdir transactions describe-producers -d data -t orders --json", "of all partitions of a topic"),
            (
                "logdir transactions describe-producers -d data -t orders -p 0 --output kafka",
                "the text of kafka-transactions.sh",
            ),
        ],
        kafka: "kafka-transactions.sh describe-producers.",
    },
    Page {
        command: "transactions find-hanging",
        examples: &[
            ("logdir transactions find-hanging -d data", "those past their timeout, and those that will never end"),
            (
                "logdir transactions find-hanging -d /mnt/broker1/data,/mnt/broker2/data -t orders",
                "of a topic, over two brokers",
            ),
            (
                "logdir transactions find-hanging -d data --output kafka",
                "the text and the rules of kafka-transactions.sh",
            ),
        ],
        kafka: "kafka-transactions.sh find-hanging.",
    },
    Page {
        command: "topics list",
        examples: &[
            ("logdir topics list -d data", "topics, their partitions, sizes and times"),
            ("logdir topics list -d data --exclude-internal --json", "without Kafka's own, for a script"),
            ("logdir topics list -d data --output kafka", "names alone, as kafka-topics.sh --list"),
        ],
        kafka: "kafka-topics.sh --list, kcat -L.",
    },
    Page {
        command: "topics describe",
        examples: &[
            ("logdir topics describe orders -d data", "leader, ISR and ELR beside offsets and sizes on disk"),
            (
                "logdir topics describe -d /mnt/broker1/data,/mnt/broker2/data",
                "brokers, features and all topics, over two brokers",
            ),
            (
                "logdir topics describe --under-replicated-partitions -d data --output kafka",
                "the text of kafka-topics.sh --describe",
            ),
        ],
        kafka: "kafka-topics.sh --describe, kcat -L.",
    },
    Page {
        command: "reassign",
        examples: &[
            ("logdir reassign generate -d /disk1/data,/disk2/data", "level what several brokers have"),
            (
                "logdir reassign generate --cluster cluster.json --broker-list 1,2,3,4 > plan.json",
                "a plan for kafka-reassign-partitions.sh --execute",
            ),
            (
                "logdir reassign generate --cluster cluster.json --drain 3 --json | jq 'select(.type==\"summary\")'",
                "what it would move",
            ),
        ],
        kafka: "kafka-reassign-partitions.sh.",
    },
    Page {
        command: "reassign generate",
        examples: &[
            (
                "logdir reassign generate -d /disk1/data,/disk2/data --add 4=rack-b > plan.json",
                "real sizes; broker 4 joins in a rack",
            ),
            (
                "kafka-reassign-partitions.sh ... --generate | logdir reassign generate --cluster - --broker-list 1,2,3,4",
                "from the tool's list of who has what",
            ),
            (
                "logdir reassign generate -d data --replication-factor 3 --wave-bytes 100GiB --throttle 50MiB/s --out-dir plan",
                "a third replica of everything, in portions, with the time they take",
            ),
        ],
        kafka: "kafka-reassign-partitions.sh --generate; --output kafka gives its text.",
    },
    Page {
        command: "reassign verify",
        examples: &[
            (
                "logdir reassign verify --reassignment-json-file plan.json -d /broker1/data,/broker2/data",
                "what is done, what is not",
            ),
            (
                "logdir reassign generate -d data | logdir reassign verify --reassignment-json-file - -d data",
                "how far directories are from what would be level",
            ),
            (
                "logdir reassign verify --reassignment-json-file plan.json -d data --json | jq 'select(.status!=\"completed\")'",
                "what is left to do",
            ),
        ],
        kafka: "kafka-reassign-partitions.sh --verify: the same words. Throttles are the running cluster's, and stay.",
    },
    Page {
        command: "reassign execute",
        examples: &[
            (
                "logdir reassign execute --reassignment-json-file plan.json -d /disk1/data,/disk2/data -n",
                "what would be moved",
            ),
            (
                "logdir reassign generate --disks -d /disk1/data,/disk2/data | logdir reassign execute --reassignment-json-file - -d /disk1/data,/disk2/data",
                "level the disks of a broker that is stopped",
            ),
            (
                "logdir reassign execute --reassignment-json-file plan.json -d /broker1/data,/broker2/data --throttle 50MiB/s",
                "from broker to broker, at a rate",
            ),
        ],
        kafka: "kafka-reassign-partitions.sh --execute.",
    },
    Page {
        command: "reassign resume",
        examples: &[
            ("logdir reassign resume -d /disk1/data,/disk2/data", "finish what was interrupted"),
            (
                "logdir reassign resume -F server.properties && kafka-server-start.sh server.properties",
                "before a broker starts",
            ),
            ("logdir reassign resume -d data -n", "how far it came"),
        ],
        kafka: "none.",
    },
    Page {
        command: "reassign rollback",
        examples: &[
            ("logdir reassign rollback -d /disk1/data,/disk2/data", "take back what was interrupted, or the last run"),
            ("logdir reassign rollback -d /disk1/data,/disk2/data -n", "what would be taken back"),
            ("logdir reassign rollback -F server.properties --throttle 50MiB/s", "at a rate"),
        ],
        kafka: "none; kafka-reassign-partitions.sh --execute prints what undoes it.",
    },
    Page {
        command: "mirror",
        examples: &[
            ("logdir mirror -d /disk1/data --to /backup/data", "copy all topics; run again, bring what is new"),
            (
                "logdir mirror -d data --to copy -t orders,re:^pay --until 2026-11-22T10:00:00Z",
                "some, cut at one moment",
            ),
            (
                "logdir mirror -d data -t orders --to-cluster broker1:9092 --groups all",
                "a topic and the committed offsets of all groups, into a running cluster",
            ),
        ],
        kafka: "MirrorMaker 2 (connect-mirror-maker.sh), whose offset syncs and checkpoints --to-cluster writes; between directories there is none.",
    },
    Page {
        command: "simulate-failover",
        examples: &[
            ("logdir simulate-failover list", "the scenarios that come with the program"),
            (
                "logdir simulate-failover explore --era fetch --set min.insync.replicas=2 --faults fence=2,power=1",
                "the shortest way to lose an acknowledged record",
            ),
            ("logdir simulate-failover random --acks 1 --runs 1000 --seed 7", "how often acks=1 loses records"),
        ],
        kafka: "None of Kafka's tools does this; the rules are those of its brokers and its controller.",
    },
    Page {
        command: "simulate-failover run",
        examples: &[
            ("logdir simulate-failover run hw-truncation-loss", "every variant, a row a step, and what went wrong"),
            (
                "logdir simulate-failover run unclean-election --variant 'fetch, unclean refused' --diagram",
                "one variant, with its fetches as arrows",
            ),
            (
                "logdir simulate-failover run mine.toml --era elr --set min.insync.replicas=2 --dirs played",
                "under other rules, on real log directories",
            ),
        ],
        kafka: "None.",
    },
    Page {
        command: "simulate-failover random",
        examples: &[
            (
                "logdir simulate-failover random --acks 1 --runs 1000 --seed 7",
                "a thousand runs, and how to repeat the first that lost",
            ),
            (
                "logdir simulate-failover random --faults kill,pause,cut-off --set min.insync.replicas=2",
                "only these faults, under other settings",
            ),
            (
                "logdir simulate-failover random --era hw --swarm --shrink --out small.toml",
                "what goes wrong under the oldest rules, in a few steps",
            ),
        ],
        kafka: "None.",
    },
    Page {
        command: "simulate-failover explore",
        examples: &[
            (
                "logdir simulate-failover explore --era fetch --set min.insync.replicas=2 --faults fence=2,power=1",
                "one power loss without eligible leader replicas",
            ),
            (
                "logdir simulate-failover explore --set min.insync.replicas=2 --set broker_epoch_check=false --faults fence=2,power=1 --out found.toml",
                "what a protective rule is for",
            ),
            ("logdir simulate-failover explore --known", "the scopes of which it is known how they end"),
        ],
        kafka: "None. TLC explores TLA+ specifications of the protocol.",
    },
    Page {
        command: "simulate-failover compare",
        examples: &[
            ("logdir simulate-failover compare hw-truncation-loss", "the same steps under every era"),
            (
                "logdir simulate-failover compare last-replica-standing --era fetch,elr --set min.insync.replicas=2",
                "with and without eligible leader replicas",
            ),
            (
                "logdir simulate-failover compare mine.toml --vary min.insync.replicas=1,2 --vary flush=never,every-record --json",
                "all combinations of settings",
            ),
        ],
        kafka: "None.",
    },
    Page {
        command: "simulate-failover stats",
        examples: &[
            (
                "logdir simulate-failover stats --mtbf 30d --mttr 1h",
                "three replicas, two of them needed, on worse machines",
            ),
            (
                "logdir simulate-failover stats --acks 1,all --min-isr 1,2 --flush never,every-record --years 1e5",
                "a row for each combination",
            ),
            (
                "logdir simulate-failover stats --rf 3,5 --strategy all-isr,majority --site-mtbf 7300d --json",
                "with power losses of the whole site",
            ),
        ],
        kafka: "None.",
    },
    Page {
        command: "simulate-failover assess",
        examples: &[
            (
                "logdir simulate-failover assess /mnt/broker1/data /mnt/broker2/data -t orders -p 3",
                "what each replica would keep and lose as leader",
            ),
            (
                "logdir simulate-failover assess broker-0/orders-0 broker-1/orders-0 --depth headers",
                "fast, from headers alone",
            ),
            (
                "logdir simulate-failover assess broker-0/orders-0 broker-1/orders-0 --json | jq 'select(.type==\"truncation\")'",
                "where each follower would truncate under each leader",
            ),
        ],
        kafka: "No tool of Kafka's. kafka-leader-election.sh --election-type UNCLEAN takes the first live replica, whatever it has.",
    },
    Page {
        command: "simulate-failover list",
        examples: &[
            ("logdir simulate-failover list", "a line for each scenario"),
            (
                "logdir simulate-failover list --json | jq -r 'select(.variants[].era==\"hw\").name'",
                "those told under an era",
            ),
            ("logdir simulate-failover list --output tsv | cut -f2", "names"),
        ],
        kafka: "None.",
    },
    Page {
        command: "simulate-failover show",
        examples: &[
            ("logdir simulate-failover show hw-truncation-loss", "the scenario as a file"),
            ("logdir simulate-failover show S25", "by its id"),
            ("logdir simulate-failover show unclean-election > mine.toml", "one to change"),
        ],
        kafka: "None.",
    },
    Page {
        command: "completions",
        examples: &[
            ("logdir completions bash > /etc/bash_completion.d/logdir", "for all users of bash"),
            ("logdir completions zsh > ~/.zfunc/_logdir", "for zsh, with ~/.zfunc in fpath"),
            ("logdir completions fish > ~/.config/fish/completions/logdir.fish", "for fish"),
        ],
        kafka: "None.",
    },
    Page {
        command: "man",
        examples: &[
            ("logdir man | man -l -", "read the page of logdir itself"),
            ("logdir man man/", "write all pages to a directory"),
            ("logdir man ~/.local/share/man/man1", "install them for this user"),
        ],
        kafka: "None.",
    },
];

fn page(command: &str) -> &'static Page {
    PAGES.iter().find(|page| page.command == command).unwrap_or(&PAGES[0])
}

/// The examples of a command, as its long help starts.
pub fn examples(command: &str) -> String {
    use std::fmt::Write as _;
    let mut text = "Examples:".to_owned();
    for (line, what) in page(command).examples {
        let _ = write!(text, "\n  {line}\n      {what}");
    }
    text
}

/// Write the man pages
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = examples("man"))]
pub struct ManArgs {
    /// Directory to write one page per command to; without it, logdir(1) goes to stdout
    #[arg(value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// Writes the pages.
pub fn run(args: &ManArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let pages = pages()?;
    let Some(dir) = &args.to else {
        if let Some((_, text)) = pages.first() {
            ui.out().buffer().extend_from_slice(text);
        }
        return Ok(Outcome::Done);
    };
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for (name, text) in &pages {
        let file = dir.join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    ui.note(&format!("{} pages written to {}", pages.len(), dir.display()));
    Ok(Outcome::Done)
}

/// File name and text of each page, that of logdir itself first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![("logdir.1".to_owned(), render(&root, page(""))?)];
    add_pages(&root, "", &mut pages)?;
    Ok(pages)
}

/// The pages of the commands below `parent`, whose words are `above`.
fn add_pages(parent: &clap::Command, above: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for command in parent.get_subcommands().filter(|command| command.get_name() != "help") {
        let words = format!("{above} {}", command.get_name()).trim_start().to_owned();
        let name = format!("logdir-{}", words.replace(' ', "-"));
        let shown = command.clone().bin_name(format!("logdir {words}")).display_name(&name);
        pages.push((format!("{name}.1"), render(&shown, page(&words))?));
        add_pages(command, &words, pages)?;
    }
    Ok(())
}

fn render(command: &clap::Command, page: &Page) -> io::Result<Vec<u8>> {
    // Examples get a section of their own here.
    let whole = command.clone().before_long_help("").mut_args(|arg| arg.hide_short_help(false));
    let man = Man::new(whole).manual("logdir");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_options_section(&mut text)?;

    let mut extra = Roff::new();
    if let Some(help) = command.get_after_long_help() {
        extra.control("SH", ["FORMAT"]).control("nf", []);
        for line in help.to_string().lines() {
            extra.text([roman(line)]);
        }
        extra.control("fi", []);
    }
    extra.control("SH", ["EXAMPLES"]);
    for (line, what) in page.examples {
        extra.control("TP", []).text([bold(*line)]).text([roman(*what)]);
    }
    extra.control("SH", ["EXIT STATUS"]);
    for (outcome, meaning) in Outcome::ALL {
        extra.control("TP", []).text([bold(outcome.exit_code().to_string())]).text([roman(meaning)]);
    }
    extra.control("TP", []).text([bold("101")]).text([roman("A bug. Please report it.")]);
    if page.command.is_empty() {
        extra.control("SH", ["ERROR CODES"]);
        extra.text([roman("With --output json an error is one JSON object a line on stderr; its \"code\" is one of:")]);
        for (code, meaning) in CODES {
            extra.control("TP", []).text([bold(*code)]).text([roman(*meaning)]);
        }
        extra.control("SH", ["ENVIRONMENT"]);
        for (name, meaning) in super::ENVIRONMENT {
            extra.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
        }
    }
    extra.control("SH", ["KAFKA EQUIVALENT"]).text([roman(page.kafka)]);
    extra.to_writer(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_three_examples() {
        let root = Cli::command();
        for command in root.get_subcommands() {
            let name = command.get_name();
            assert!(PAGES.iter().any(|page| page.command == name), "{name}");
            for verb in command.get_subcommands().map(|verb| format!("{name} {}", verb.get_name())) {
                assert!(PAGES.iter().any(|page| page.command == verb), "{verb}");
            }
        }
        for page in PAGES {
            assert_eq!(page.examples.len(), 3, "{}", page.command);
        }
    }
}
