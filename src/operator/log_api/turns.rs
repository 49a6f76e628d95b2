//! How many logs are read at the same time, in all and for one user.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;

use super::refusal::Refusal;

/// The requests that are under way.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    all: usize,
    of_user: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// A request's place. It is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    user: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Turns {
    pub(super) fn new(all: usize, of_user: usize) -> Self {
        Self { all, of_user, taken: Arc::default() }
    }

    /// A place for a request of this user. It does not wait for one.
    pub(super) fn take(&self, user: &str) -> Result<Turn, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |words: String| Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, words));
        if taken.get(user).is_some_and(|own| *own >= self.of_user) {
            return full(format!("{user} reads {} logs already; end one, or try again", self.of_user));
        }
        if taken.values().sum::<usize>() >= self.all {
            return full(format!("{} logs are being read already; try again", self.all));
        }
        *taken.entry(user.to_owned()).or_default() += 1;
        Ok(Turn { user: user.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_take_all_places() {
        let turns = Turns::new(3, 2);
        let anna = [turns.take("anna").unwrap(), turns.take("anna").unwrap()];
        let refusal = turns.take("anna").unwrap_err();
        assert!(refusal.code == 429 && refusal.message.contains("anna"), "{refusal}");
        let bert = turns.take("bert").unwrap();
        assert_eq!(turns.take("cleo").unwrap_err().code, 429);
        drop(bert);
        let _cleo = turns.take("cleo").unwrap();
        drop(anna);
        assert!(turns.take("anna").is_ok());
        assert!(!turns.taken.lock().unwrap().contains_key("anna"), "nobody is remembered");
    }
}
