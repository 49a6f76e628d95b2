//! What contributors use: the forms for issues, and the search for a test by its name.

mod find_test;
mod forms;
