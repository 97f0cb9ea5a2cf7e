//! What of a topic's events a subscriber sees: which of them, how, and in what form on its line.
//!
//! Subscribers who see the same share one lens, so that what it shows is made once for all of them.

mod expression;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    compression::Compression, item::Summary, limits::FILTER_ENTRIES_MAX, proto, schema::Registry,
    view::View,
};

pub use self::expression::{Expression, Mistake};

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Lens {
    pub filter: Filter,
    pub view: View,
    /// None: frames go out as they are.
    pub compression: Option<Compression>,
}

/// Which events are wanted. One that asks for nothing lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    types: BTreeSet<String>,
    /// With the dot at the end.
    type_prefixes: Vec<String>,
    keys: BTreeSet<String>,
    /// Asked last: the rest costs next to nothing.
    expression: Option<Expression>,
}

/// Says which field of the request has the mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {description}")]
pub struct InvalidFilter {
    pub field: String,
    pub description: String,
}

/// The lenses that are in use.
#[derive(Debug, Default)]
pub struct Lenses {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    lenses: HashSet<Arc<Lens>>,
    /// Those that nobody uses any more are looked for when there are so many.
    sweep_at: usize,
}

impl Lenses {
    /// The one lens that all share who see the same.
    pub fn shared(&self, lens: Lens) -> Arc<Lens> {
        const FEW: usize = 64;
        let mut known = self.known.lock();
        if let Some(lens) = known.lenses.get(&lens) {
            return lens.clone();
        }
        if known.lenses.len() >= known.sweep_at {
            known.lenses.retain(|lens| Arc::strong_count(lens) > 1);
            known.sweep_at = (2 * known.lenses.len()).max(FEW);
        }
        let lens = Arc::new(lens);
        known.lenses.insert(lens.clone());
        lens
    }
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        let Filter { types, type_prefixes, keys, expression } = self;
        types.is_empty() && type_prefixes.is_empty() && keys.is_empty() && expression.is_none()
    }

    /// Data of types that are registered there can be looked into.
    pub fn with_types(mut self, types: &Arc<Registry>) -> Filter {
        self.expression = self.expression.map(|expression| expression.with_types(types));
        self
    }

    /// What the event itself has to be asked, where [`Filter::accepts`] lets it through.
    pub fn expression(&self) -> Option<&Expression> {
        self.expression.as_ref()
    }

    pub fn accepts(&self, event: &Summary) -> bool {
        let any_type = self.types.is_empty() && self.type_prefixes.is_empty();
        let type_fits = any_type
            || self.types.contains(&event.event_type)
            || self.type_prefixes.iter().any(|prefix| event.event_type.starts_with(prefix));
        type_fits && (self.keys.is_empty() || self.keys.contains(&event.key))
    }
}

impl TryFrom<proto::Filter> for Filter {
    type Error = InvalidFilter;

    fn try_from(asked: proto::Filter) -> Result<Filter, InvalidFilter> {
        let refuse = |field: String, description: &str| {
            Err(InvalidFilter { field, description: description.to_owned() })
        };
        if asked.types.len() > FILTER_ENTRIES_MAX {
            return refuse("filter.types".into(), "has more than 1000 entries");
        }
        if asked.keys.len() > FILTER_ENTRIES_MAX {
            return refuse("filter.keys".into(), "has more than 1000 entries");
        }
        let mut filter = Filter { keys: asked.keys.into_iter().collect(), ..Filter::default() };
        for (index, wanted) in asked.types.into_iter().enumerate() {
            match wanted.strip_suffix('*').unwrap_or(&wanted) {
                name if name.is_empty() || name.contains('*') => {
                    let field = format!("filter.types[{index}]");
                    return refuse(field, "must be a type, or the beginning of types and \".*\"");
                }
                name if name.len() == wanted.len() => _ = filter.types.insert(wanted),
                prefix if prefix.ends_with('.') => filter.type_prefixes.push(prefix.to_owned()),
                _ => {
                    let field = format!("filter.types[{index}]");
                    return refuse(field, "may only have * as its last part, behind a dot");
                }
            }
        }
        if !asked.cel.is_empty() {
            let expression = Expression::parse(&asked.cel).map_err(|mistake| InvalidFilter {
                field: "filter.cel".into(),
                description: mistake.to_string(),
            })?;
            filter.expression = Some(expression);
        }
        // In one order, so that the same wish is the same lens.
        filter.type_prefixes.sort();
        filter.type_prefixes.dedup();
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(types: &[&str]) -> Lens {
        let types = types.iter().map(ToString::to_string).collect();
        let filter = proto::Filter { types, ..Default::default() };
        Lens { filter: filter.try_into().expect("a filter"), view: View::Json, compression: None }
    }

    #[test]
    fn who_sees_the_same_shares_a_lens_however_it_was_said() {
        let lenses = Lenses::default();
        let first = lenses.shared(lens(&["a.*", "b.*", "c"]));
        assert!(Arc::ptr_eq(&first, &lenses.shared(lens(&["c", "b.*", "a.*", "c"]))));
        assert!(!Arc::ptr_eq(&first, &lenses.shared(lens(&["c"]))));
    }

    #[test]
    fn lenses_that_nobody_uses_are_not_kept() {
        let lenses = Lenses::default();
        let kept = lenses.shared(lens(&["kept"]));
        for n in 0..1000 {
            lenses.shared(lens(&[&n.to_string()]));
        }
        assert!(lenses.known.lock().lenses.len() < 100);
        assert!(Arc::ptr_eq(&kept, &lenses.shared(lens(&["kept"]))));
    }
}
