package store

import "time"

// TryAgain lets the next Put find out whether a full volume has room.
func (s *Store) TryAgain() { s.tried = time.Time{} }
