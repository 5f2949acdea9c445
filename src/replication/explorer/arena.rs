//! A list that grows without being moved.

/// Items of a piece.
const PIECE: usize = 1 << 12;

/// A list in pieces: growing takes one more piece, never twice the memory for a moment.
pub(super) struct Arena<T> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> Arena<T> {
    /// An empty list.
    pub(super) const fn new() -> Arena<T> {
        Arena { pieces: Vec::new(), len: 0 }
    }

    /// Number of items.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The item at `at`, which is below the length.
    pub(super) fn at(&self, at: usize) -> &T {
        &self.pieces[at / PIECE][at % PIECE]
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: T) {
        if self.len == self.pieces.len() * PIECE {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(item);
            self.len += 1;
        }
    }

    /// All items in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<T>() + self.pieces.capacity() * size_of::<Vec<T>>()
    }

    /// Bytes that the next item takes: none, or those of a piece.
    pub(super) const fn bytes_of_next(&self) -> usize {
        if self.len.is_multiple_of(PIECE) { PIECE * size_of::<T>() } else { 0 }
    }
}
