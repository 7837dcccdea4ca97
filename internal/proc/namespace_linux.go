// The functions of this file serve the process that starts workers.

package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// addNamespace makes the worker start as process 1 of a PID namespace (pid_namespaces(7)). When
// that process ends, the kernel kills everything else in the namespace, and only then does the
// parent see the end.
//
// The signal that the worker gets at the death of this process is SIGKILL here: with the worker its
// whole tree ends, so that no code of the worker has to run to end the tree.
func addNamespace(attr *syscall.SysProcAttr, c *Credential) {
	attr.Cloneflags |= unix.CLONE_NEWPID
	attr.Pdeathsig = unix.SIGKILL
	if hasCapability(unix.CAP_SYS_ADMIN) {
		return
	}
	// In a user namespace of its own, any process may have a PID namespace. A process without
	// privileges may map only one id (user_namespaces(7)). The id is mapped to itself, so that the
	// worker sees the user that it really is.
	attr.Cloneflags |= unix.CLONE_NEWUSER
	if c == nil {
		attr.UidMappings, attr.GidMappings = identity1(os.Geteuid()), identity1(os.Getegid())
		return
	}
	// To become another user takes privileges anyway. They also allow this process to map all the
	// groups, and the worker to give up the present groups.
	attr.UidMappings = identity1(int(c.UID))
	groups := slices.Sorted(slices.Values(append([]uint32{c.GID}, c.Groups...)))
	for _, group := range slices.Compact(groups) {
		attr.GidMappings = append(attr.GidMappings, identity1(int(group))...)
	}
	attr.GidMappingsEnableSetgroups = true
}

// identity1 maps one id to itself.
func identity1(id int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
}

// explain adds to the error of a start what the fields of the Spec needed.
func (spec *Spec) explain(err error, path string) error {
	if spec.PIDNamespace {
		if reason := namespaceReason(err); reason != "" && (spec.Credential == nil || maySwitchUser() == "") {
			return fmt.Errorf("PIDNamespace: %s: %w", reason, err)
		}
	}
	return spec.Credential.explain(err, path, spec.Dir)
}

// namespaceReason translates the errors of clone(2) with CLONE_NEWPID and CLONE_NEWUSER.
func namespaceReason(err error) string {
	const need = "it needs CAP_SYS_ADMIN, or a system that allows user namespaces to processes without privileges"
	switch {
	case errors.Is(err, unix.EPERM):
		return "the system allows no namespace to this process; " + need +
			" (see kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or the seccomp " +
			"profile of the container)"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return "the limit of the number or of the depth of namespaces is reached (user.max_pid_namespaces, " +
			"user.max_user_namespaces); " + need
	case errors.Is(err, unix.EINVAL):
		return "the kernel was built without PID or user namespaces, or an id cannot be mapped; " + need
	}
	return ""
}

// wireClosed reports whether the process that started this worker has already closed its end of the
// wire, which is still on descriptor 0 of the worker. By this a worker that cannot see its parent
// finds out that the parent died before the kernel was asked for a signal at its death.
func wireClosed() bool {
	fds := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1 && fds[0].Revents&unix.POLLHUP != 0
	}
}
