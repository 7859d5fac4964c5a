//! Ends by a signal, of the ledger, of the disk.
