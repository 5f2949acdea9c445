//! Records of the internal topics: what is read is written again byte for byte alike, and shown as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::schema::coordinator::{self, CoordinatorTopic, CoordinatorValue};
use logdir::schema::message::Fields;
use logdir::schema::metadata::{self, CONTROL_RECORDS, Decoded, RECORDS};

const TOPICS: [CoordinatorTopic; 3] =
    [CoordinatorTopic::Group, CoordinatorTopic::Transaction, CoordinatorTopic::Share];

fn shown(fields: &Fields<'_>) {
    let mut json = Vec::new();
    fields.write_json(&mut json);
    assert!(std::str::from_utf8(&json).is_ok());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(decoded) = metadata::decode(data) {
        let _ = decoded.typed();
        if let Decoded::Known(record) = &decoded {
            shown(&record.fields);
        }
    }
    let Some((choice, rest)) = data.split_first() else { return };
    let _ = metadata::decode_control(i16::from(*choice), rest);
    // Every table in every version, without the frame that names it.
    let tables = RECORDS.iter().chain(CONTROL_RECORDS);
    if let Some((version, rest)) = rest.split_first()
        && let Some(table) = tables.cycle().nth(usize::from(*choice))
        && table.knows(i16::from(*version))
        && let Ok(fields) = table.decode_all(i16::from(*version), rest)
    {
        shown(&fields);
        let mut encoded = Vec::new();
        if table.encode(&fields, &mut encoded).is_ok() {
            // Padded numbers and the order of tagged fields have more than one form; what they say has one.
            let again = table.decode_all(i16::from(*version), &encoded).expect("what was written can be read");
            let mut twice = Vec::new();
            table.encode(&again, &mut twice).expect("and written again");
            assert_eq!(encoded, twice);
        }
    }
    // A key, and what is left as its value.
    let topic = TOPICS[usize::from(choice % 3)];
    let at = usize::from(choice >> 2).min(rest.len());
    let (key, value) = rest.split_at(at);
    for value in [None, Some(value)] {
        if let Ok(record) = coordinator::decode(topic, key, value) {
            shown(&record.key);
            if let CoordinatorValue::Known(fields) = &record.value {
                shown(fields);
                let mut json = Vec::new();
                record.write_value_json(&mut json);
            }
        }
    }
});
