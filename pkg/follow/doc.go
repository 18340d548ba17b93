// Package follow reads files that somebody else writes, and notices when they
// change. Whoever renews them (cert-manager, kubelet or a person) need not tell the
// program.
//
// [Group.Run] reads all files every two seconds and compares their content. There
// is nothing to configure. A file may be written in place, renamed into place,
// or swapped behind a symbolic link, as Kubernetes does; it may lie on a local
// disk, on NFS or in a bind mount; its modification time does not matter.
//
// Files are not replaced all at once. A writer in place leaves, for a moment, a
// certificate without its new key, or a list that is too short. So a change is
// taken into use when two looks in a row have found the same content and its
// user accepts it. Until then, and for as long as something is wrong with it,
// what was in use stays in use. Trouble that lasts more than ten seconds is
// logged. This holds for files that were emptied or deleted too: that shuts
// nobody out and lets nobody in.
//
// The user of a group is given the bytes that were compared. It must not read the
// files again: they may have changed since.
package follow
