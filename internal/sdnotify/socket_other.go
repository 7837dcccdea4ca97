// The functions of this file serve the main process.

//go:build !(darwin || dragonfly || freebsd || linux || openbsd)

package sdnotify

import "errors"

// FromEnv returns nil on these platforms, so nothing below is ever called: there is no service
// manager that speaks this protocol, or no datagram socket of that kind (Windows has AF_UNIX for
// streams only).
const supported = false

func send(string, string) error { return errors.ErrUnsupported }

func monotonicUsec() (int64, error) { return 0, errors.ErrUnsupported }
