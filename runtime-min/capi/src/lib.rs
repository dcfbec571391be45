//! libevenkeel.
