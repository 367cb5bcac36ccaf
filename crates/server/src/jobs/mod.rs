//! What is due without a request.
