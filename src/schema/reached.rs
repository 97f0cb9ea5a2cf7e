//! The messages that a type reaches through its fields.

use std::collections::HashMap;

use prost_reflect::MessageDescriptor;

/// In the order in which they are reached.
#[derive(Default)]
pub(super) struct Reached {
    pub(super) messages: Vec<MessageDescriptor>,
    places: HashMap<String, usize>,
}

impl Reached {
    pub(super) fn place(&mut self, message: &MessageDescriptor) -> usize {
        let next = self.messages.len();
        let place = *self.places.entry(message.full_name().to_owned()).or_insert(next);
        if place == next {
            self.messages.push(message.clone());
        }
        place
    }
}
