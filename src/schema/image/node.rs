//! An image as the tree that Kafka's metadata shell shows: the same names (`org.apache.kafka.image.node`).
//!
//! ```text
//! /image/provenance
//!       /features/metadataVersion  finalized_NAME
//!       /cluster/brokers/ID  controllers/ID
//!       /topics/byName/NAME/name  id  PARTITION
//!              /byId/ID/name  id  PARTITION
//!       /configs/TYPE:NAME/KEY
//!       /clientQuotas/user(NAME)/KEY
//!       /producerIds/nextProducerId
//!       /acls/byId/ID
//!       /scram/MECHANISM/USER
//!       /delegationToken/ID
//! /quorum/leader  kraftVersion  voters/ID      not in Kafka's tree
//! ```
//!
//! Names may hold a `/` (a quota's user): [`escape`] and [`split_path`] write it `\/`. The default of an entity type,
//! which Kafka's shell leaves out of the name, is `<default>`, as in kafka-configs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::super::metadata::{
    AccessControlEntry, BrokerRegistration, ControllerRegistration, DelegationToken, PartitionRecord, Quota,
    ScramCredential, Voter,
};
use super::text::{quota_entity, resource_name, scram_mechanism};
use super::{ConfigResource, METADATA_VERSION, MetadataImage, Provenance, Topic};
use crate::types::{LeaderEpoch, Uuid};

/// A node of the tree: a directory of nodes, or a leaf.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a>(Kind<'a>);

#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    Root(&'a MetadataImage),
    Image(&'a MetadataImage),
    Features(&'a MetadataImage),
    Cluster(&'a MetadataImage),
    Brokers(&'a MetadataImage),
    Controllers(&'a MetadataImage),
    Topics(&'a MetadataImage),
    TopicsByName(&'a MetadataImage),
    TopicsById(&'a MetadataImage),
    Topic(&'a Topic),
    Configs(&'a MetadataImage),
    Config(&'a ConfigResource, &'a BTreeMap<String, String>),
    ClientQuotas(&'a MetadataImage),
    ClientQuota(&'a BTreeMap<String, Quota>),
    ProducerIds(&'a MetadataImage),
    Acls(&'a MetadataImage),
    AclsById(&'a MetadataImage),
    Scram(&'a MetadataImage),
    ScramMechanism(Option<&'a BTreeMap<String, ScramCredential>>),
    DelegationTokens(&'a MetadataImage),
    Quorum(&'a MetadataImage),
    Voters(&'a MetadataImage),
    Leaf(Leaf<'a>),
}

/// What stands at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaf<'a> {
    /// The last record in the image.
    Provenance(Option<Provenance>),
    /// Level of `metadata.version`; `None` where there is none.
    MetadataVersion(Option<i32>),
    /// Level of another feature.
    Feature(i32),
    /// A broker.
    Broker(&'a BrokerRegistration),
    /// A controller.
    Controller(&'a ControllerRegistration),
    /// A topic's name.
    TopicName(&'a str),
    /// A topic's id.
    TopicId(Uuid),
    /// A partition.
    Partition(&'a PartitionRecord),
    /// A setting.
    Config {
        /// `ConfigResource.Type`.
        resource_type: i32,
        /// Its name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// A limit.
    Quota(Quota),
    /// The first producer id that no broker has.
    NextProducerId(i64),
    /// An access control entry.
    AccessControlEntry(&'a AccessControlEntry),
    /// A SCRAM credential.
    ScramCredential(&'a ScramCredential),
    /// A delegation token.
    DelegationToken(&'a DelegationToken),
    /// The quorum's leader.
    Leader(Option<(i32, LeaderEpoch)>),
    /// Level of `kraft.version`.
    KRaftVersion(i32),
    /// A voter.
    Voter(&'a Voter),
}

impl<'a> Node<'a> {
    /// The root of the tree.
    pub fn root(image: &'a MetadataImage) -> Node<'a> {
        Node(Kind::Root(image))
    }

    /// What it holds, if it is a leaf.
    pub fn leaf(&self) -> Option<Leaf<'a>> {
        match self.0 {
            Kind::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// Whether it has nodes below, or could have.
    pub fn is_directory(&self) -> bool {
        self.leaf().is_none()
    }

    /// The nodes below, by name in Java's order of texts.
    pub fn children(&self) -> Vec<(String, Node<'a>)> {
        let leaf = |leaf| Node(Kind::Leaf(leaf));
        let mut children = match self.0 {
            Kind::Root(_)
            | Kind::Image(_)
            | Kind::Cluster(_)
            | Kind::Topics(_)
            | Kind::Acls(_)
            | Kind::ProducerIds(_)
            | Kind::Quorum(_) => self.fixed(),
            Kind::Features(image) => {
                let others = image.features().filter(|(name, _)| *name != METADATA_VERSION);
                let mut features: Vec<_> =
                    others.map(|(name, level)| (format!("finalized_{name}"), leaf(Leaf::Feature(level)))).collect();
                let level = image.feature(METADATA_VERSION);
                features.push(("metadataVersion".to_owned(), leaf(Leaf::MetadataVersion(level))));
                features
            }
            Kind::Brokers(image) => {
                let node = |(id, broker): (&i32, _)| (id.to_string(), leaf(Leaf::Broker(broker)));
                image.brokers.iter().map(node).collect()
            }
            Kind::Controllers(image) => {
                let node = |(id, controller): (&i32, _)| (id.to_string(), leaf(Leaf::Controller(controller)));
                image.controllers.iter().map(node).collect()
            }
            Kind::TopicsByName(image) => {
                let topic = |(name, id): (&String, &Uuid)| Some((name.clone(), Node(Kind::Topic(image.topic(*id)?))));
                image.names.iter().filter_map(topic).collect()
            }
            Kind::TopicsById(image) => {
                image.topics.iter().map(|(id, topic)| (id.to_string(), Node(Kind::Topic(topic)))).collect()
            }
            Kind::Topic(topic) => {
                let partition = |(id, partition): (&i32, _)| (id.to_string(), leaf(Leaf::Partition(partition)));
                let mut nodes: Vec<_> = topic.partitions.iter().map(partition).collect();
                nodes.push(("name".to_owned(), leaf(Leaf::TopicName(&topic.name))));
                nodes.push(("id".to_owned(), leaf(Leaf::TopicId(topic.topic_id))));
                nodes
            }
            Kind::Configs(image) => {
                let node = |(resource, config)| (resource_name(resource), Node(Kind::Config(resource, config)));
                image.configs.iter().map(node).collect()
            }
            Kind::Config(resource, config) => {
                let resource_type = resource.resource_type;
                let setting = |(name, value): (&'a String, &'a String)| {
                    (name.clone(), leaf(Leaf::Config { resource_type, name, value }))
                };
                config.iter().map(setting).collect()
            }
            Kind::ClientQuotas(image) => {
                let node = |(entity, quotas)| (quota_entity(entity), Node(Kind::ClientQuota(quotas)));
                image.client_quotas.iter().map(node).collect()
            }
            Kind::ClientQuota(quotas) => {
                quotas.iter().map(|(key, quota)| (key.clone(), leaf(Leaf::Quota(*quota)))).collect()
            }
            Kind::AclsById(image) => {
                let node = |(id, entry): (&Uuid, _)| (id.to_string(), leaf(Leaf::AccessControlEntry(entry)));
                image.acls.iter().map(node).collect()
            }
            Kind::Scram(image) => {
                // The known mechanisms are there without users too.
                let unknown = image.scram.contains_key(&0).then_some(0);
                [1, 2].into_iter().chain(unknown).map(|id| (scram_mechanism(id).to_owned(), scram(image, id))).collect()
            }
            Kind::ScramMechanism(users) => {
                let users = users.into_iter().flatten();
                users.map(|(user, credential)| (user.clone(), leaf(Leaf::ScramCredential(credential)))).collect()
            }
            Kind::DelegationTokens(image) => {
                let node = |(id, token): (&String, _)| (id.clone(), leaf(Leaf::DelegationToken(token)));
                image.delegation_tokens.iter().map(node).collect()
            }
            Kind::Voters(image) => {
                let voters = &image.quorum.voters;
                voters.iter().map(|voter| (voter.voter_id.to_string(), leaf(Leaf::Voter(voter)))).collect()
            }
            Kind::Leaf(_) => Vec::new(),
        };
        children.sort_by(|(a, _), (b, _)| compare_names(a, b));
        children
    }

    /// The nodes whose names are always the same.
    fn fixed(&self) -> Vec<(String, Node<'a>)> {
        let nodes: &[(&str, Kind<'a>)] = match self.0 {
            Kind::Root(image) => &[("image", Kind::Image(image)), ("quorum", Kind::Quorum(image))],
            Kind::Image(image) => &[
                ("provenance", Kind::Leaf(Leaf::Provenance(image.provenance))),
                ("features", Kind::Features(image)),
                ("cluster", Kind::Cluster(image)),
                ("topics", Kind::Topics(image)),
                ("configs", Kind::Configs(image)),
                ("clientQuotas", Kind::ClientQuotas(image)),
                ("producerIds", Kind::ProducerIds(image)),
                ("acls", Kind::Acls(image)),
                ("scram", Kind::Scram(image)),
                ("delegationToken", Kind::DelegationTokens(image)),
            ],
            Kind::Cluster(image) => &[("brokers", Kind::Brokers(image)), ("controllers", Kind::Controllers(image))],
            Kind::Topics(image) => &[("byName", Kind::TopicsByName(image)), ("byId", Kind::TopicsById(image))],
            Kind::Acls(image) => &[("byId", Kind::AclsById(image))],
            Kind::ProducerIds(image) => &[("nextProducerId", Kind::Leaf(Leaf::NextProducerId(image.next_producer_id)))],
            Kind::Quorum(image) => &[
                ("leader", Kind::Leaf(Leaf::Leader(image.quorum.leader))),
                ("kraftVersion", Kind::Leaf(Leaf::KRaftVersion(image.quorum.kraft_version.unwrap_or(0)))),
                ("voters", Kind::Voters(image)),
            ],
            _ => &[],
        };
        nodes.iter().map(|(name, kind)| ((*name).to_owned(), Node(*kind))).collect()
    }

    /// The node of this name below it.
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        // Where there may be very many, without listing them.
        match self.0 {
            Kind::TopicsByName(image) => image.topic_named(name).map(|topic| Node(Kind::Topic(topic))),
            Kind::TopicsById(image) => image.topic(Uuid::parse(name)?).map(|topic| Node(Kind::Topic(topic))),
            Kind::Topic(topic) if !matches!(name, "name" | "id") => {
                topic.partitions.get(&name.parse().ok()?).map(|partition| Node(Kind::Leaf(Leaf::Partition(partition))))
            }
            _ => self.children().into_iter().find(|(child, _)| child == name).map(|(_, node)| node),
        }
    }
}

fn scram(image: &MetadataImage, mechanism: i32) -> Node<'_> {
    Node(Kind::ScramMechanism(image.scram.get(&mechanism)))
}

/// Java's order of texts: by UTF-16 code units.
pub fn compare_names(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// A node's name as part of a path: `/` and `\` with a `\` before them.
pub fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('/', "\\/")
}

/// The names a path is made of, with `.` and `..` resolved as the shell does; a `\` keeps a `/` from dividing.
///
/// Escapes other than that stay, for the glob they may be part of.
pub fn split_path(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c == '/' {
            names.push(String::new());
            continue;
        }
        let Some(name) = names.last_mut() else { continue };
        match (c, chars.as_str().chars().next()) {
            ('\\', Some('/')) => {
                name.push('/');
                chars.next();
            }
            ('\\', Some(next)) => {
                name.extend(['\\', next]);
                chars.next();
            }
            _ => name.push(c),
        }
    }
    let mut path = Vec::new();
    for name in names {
        match name.as_str() {
            "" | "." => {}
            ".." => drop(path.pop()),
            _ => path.push(name),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::super::metadata::Record;
    use super::*;

    #[test]
    fn paths_are_split_at_slashes_that_are_not_escaped() {
        for (path, expected) in [
            ("/image/topics", &["image", "topics"][..]),
            ("image//topics/./byName/..", &["image", "topics"]),
            ("", &[]),
            ("../..", &[]),
            (r"a\/b/c\*", &["a/b", r"c\*"]),
            (r"a\\/b", &[r"a\\", "b"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(split_path(path), expected, "{path}");
        }
    }

    #[test]
    fn the_tree_has_the_names_of_kafkas() {
        let mut image = MetadataImage::default();
        let topic_id = Uuid([7; 16]);
        let config = |name: &str| Record::Config {
            resource_type: 4,
            resource_name: name.into(),
            name: "k".into(),
            value: Some("v".into()),
        };
        let partition = PartitionRecord { partition: 10, topic_id, ..PartitionRecord::default() };
        for record in [
            Record::Topic { name: "t".into(), topic_id },
            Record::Partition(PartitionRecord { partition: 2, ..partition.clone() }),
            Record::Partition(partition),
            config(""),
            config("1"),
        ] {
            image.apply(record).unwrap();
        }
        let names = |path: &str| {
            let mut node = Node::root(&image);
            for name in split_path(path) {
                node = node.child(&name).unwrap_or_else(|| panic!("{path}"));
            }
            node.children().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("/"), ["image", "quorum"]);
        assert_eq!(names("/image/topics/byName/t"), ["10", "2", "id", "name"]);
        assert_eq!(names("/image/configs"), ["BROKER", "BROKER:1"]);
        assert_eq!(names("/image/scram"), ["SCRAM-SHA-256", "SCRAM-SHA-512"]);
        assert_eq!(names("/image/producerIds/nextProducerId"), [""; 0]);
        assert!(Node::root(&image).child("imge").is_none());
    }
}
