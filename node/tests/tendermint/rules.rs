//! Each rule of Algorithm 1 by itself.
