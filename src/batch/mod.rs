//! Record batches and messages.
