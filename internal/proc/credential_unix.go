// The functions of this file serve the process that starts workers.

//go:build unix

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// attr returns the credential as the system call package takes it, or nil.
func (c *Credential) attr() *syscall.Credential {
	if c == nil {
		return nil
	}
	return &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: c.Groups}
}

// explain adds to the error of a start as another user what the user lacks. The system tells only
// one number, whichever step between the fork and the program's first instruction has failed.
func (c *Credential) explain(err error, path, dir string) error {
	if c == nil {
		return err
	}
	switch {
	case errors.Is(err, syscall.EPERM):
		if reason := maySwitchUser(); reason != "" {
			return fmt.Errorf("run the worker as %v: %s: %w", c, reason, err)
		}
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf(
			"run the worker as %v: perhaps an id does not exist in the user namespace of this process: %w",
			c,
			err,
		)
	case errors.Is(err, syscall.EACCES):
		what := "the system does not say which file (perhaps an access list or a mount option denies it)"
		if dir != "" {
			if obstacle := c.obstacle(dir); obstacle != "" {
				return fmt.Errorf("%v cannot enter the working directory: %s: %w", c, obstacle, err)
			}
		}
		if obstacle := c.obstacle(path); obstacle != "" {
			what = obstacle
		}
		return fmt.Errorf("%v cannot execute the program: %s: %w", c, what, err)
	}
	return err
}

// obstacle returns the first part of the path that the user may not search (if it is a directory)
// or execute, or "". It looks at the permission bits alone.
func (c *Credential) obstacle(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	var parts []string // the parts of the path, from the whole path to the root
	for part := path; ; part = filepath.Dir(part) {
		parts = append(parts, part)
		if part == filepath.Dir(part) {
			break
		}
	}
	for _, part := range slices.Backward(parts) {
		info, err := os.Stat(part)
		if err != nil {
			return err.Error()
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !c.mayExecute(info.Mode(), st) {
			return fmt.Sprintf("%s (%v, owner %d:%d) is not executable for this user", part, info.Mode(), st.Uid,
				st.Gid)
		}
	}
	return ""
}

// mayExecute looks at the one of the three execute bits that counts (path_resolution(7)).
func (c *Credential) mayExecute(mode fs.FileMode, st *syscall.Stat_t) bool {
	switch {
	case c.UID == 0:
		return mode.IsDir() || mode&0o111 != 0
	case c.UID == st.Uid:
		return mode&0o100 != 0
	case c.GID == st.Gid || slices.Contains(c.Groups, st.Gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
