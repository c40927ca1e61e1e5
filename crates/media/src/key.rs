//! Names of streams, microphones and elements on their way between threads.

/// A slot of the media thread, and which of its tenants is meant: a key of one that is gone names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Gives out slots. On the control side.
#[derive(Debug)]
pub(crate) struct Keys {
    free: Vec<u32>,
    generations: Vec<u32>,
}

impl Keys {
    pub(crate) fn new(slots: usize) -> Self {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        Self { free: (0..slots).rev().collect(), generations: vec![0; slots as usize] }
    }

    pub(crate) fn take(&mut self) -> Option<Key> {
        let index = self.free.pop()?;
        let generation = &mut self.generations[index as usize];
        *generation = generation.wrapping_add(1);
        Some(Key { index, generation: *generation })
    }

    /// The slot is empty again.
    pub(crate) fn give_back(&mut self, key: Key) {
        if self.generations.get(key.index as usize) == Some(&key.generation) {
            self.free.push(key.index);
        }
    }
}

/// The slots themselves. On the media thread; never grows.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Option<(Key, Box<T>)>>,
    /// From here on all are free: whoever goes through the others in each tick need not look at hundreds.
    end: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| None).collect(), end: 0 }
    }

    /// Gives back what cannot be put in: there is no such slot, or it is taken.
    pub(crate) fn insert(&mut self, key: Key, value: Box<T>) -> Result<(), Box<T>> {
        match self.slots.get_mut(key.index as usize) {
            Some(slot @ None) => {
                *slot = Some((key, value));
                self.end = self.end.max(key.index as usize + 1);
                Ok(())
            }
            _ => Err(value),
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Box<T>> {
        let slot = self.slots.get_mut(key.index as usize)?;
        let removed = match slot {
            Some((tenant, _)) if *tenant == key => slot.take().map(|(_, value)| value),
            _ => None,
        };
        self.end = self.slots[..self.end].iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        removed
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            Some((tenant, value)) if *tenant == key => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            Some((tenant, value)) if *tenant == key => Some(value),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots[..self.end].iter().filter_map(|slot| slot.as_ref().map(|(key, value)| (*key, &**value)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots[..self.end]
            .iter_mut()
            .filter_map(|slot| slot.as_mut().map(|(key, value)| (*key, &mut **value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_taken_are_gone_through_in_order_and_no_others() {
        let mut keys = Keys::new(4);
        let mut slots = Slots::new(4);
        let taken: Vec<Key> = (0..4).map(|_| keys.take().unwrap()).collect();
        taken.iter().for_each(|key| slots.insert(*key, Box::new(key.index)).unwrap());
        for gone in [3, 1, 2] {
            slots.remove(taken[gone]);
            let left: Vec<Key> = slots.iter().map(|(key, _)| key).collect();
            assert_eq!(left, slots.iter_mut().map(|(key, _)| key).collect::<Vec<_>>());
            assert!(left.is_sorted_by_key(|key| key.index) && !left.contains(&taken[gone]), "{left:?}");
        }
        assert_eq!((slots.iter().count(), slots.end), (1, 1));
        slots.insert(taken[3], Box::new(3)).unwrap();
        assert_eq!(slots.iter().map(|(_, index)| *index).collect::<Vec<_>>(), [0, 3]);
        slots.remove(taken[0]);
        slots.remove(taken[3]);
        assert_eq!((slots.iter().count(), slots.end), (0, 0));
    }

    #[test]
    fn a_key_of_one_that_is_gone_names_nothing() {
        let mut keys = Keys::new(2);
        let mut slots = Slots::new(2);
        let old = keys.take().unwrap();
        slots.insert(old, Box::new(1)).unwrap();
        assert_eq!(slots.insert(old, Box::new(2)), Err(Box::new(2)));
        assert_eq!(slots.remove(old), Some(Box::new(1)));
        keys.give_back(old);
        keys.give_back(Key { generation: 99, ..old });
        let new = keys.take().unwrap();
        slots.insert(new, Box::new(3)).unwrap();
        assert!(slots.get(old).is_none() && slots.get_mut(old).is_none() && slots.remove(old).is_none());
        assert_eq!(slots.get(new), Some(&3));
        assert!(keys.take().is_some() && keys.take().is_none());
    }
}
