//! One validator under test; everybody else is played by the test, which holds all keys.
