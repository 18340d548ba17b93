// Package follow notices that files have changed, so that whoever renews them,
// be it cert-manager, kubelet or a person, need not tell the program.
//
// It reads all files every two seconds and compares their content. There is
// nothing to configure, and it makes no difference whether a file was written
// in place, renamed into place, or appeared behind a symbolic link as
// Kubernetes swaps them; whether it is on a local disk, on NFS or in a bind
// mount; nor what its modification time says.
//
// Files are not replaced all at once. In-place writers leave a certificate
// whose key has yet to come, and a list is for a moment shorter than it will
// be. So a change is taken into use when two looks in a row have found the same
// content and all of it means something to who uses it. Until then, and for as
// long as something is wrong with it, what was in use stays in use; what lasts
// for more than ten seconds is logged. This holds for files that were emptied or
// deleted too: nobody is shut out by that, and nobody let in.
package follow
