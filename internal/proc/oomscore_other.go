// The functions of this file serve both processes.

//go:build !linux

package proc

import "errors"

// OOMScoreAdj returns 0: only Linux has such a number.
func OOMScoreAdj() int { return 0 }

// setOOMScoreAdj returns an error: only Linux has such a number.
func setOOMScoreAdj(int) error { return errors.ErrUnsupported }

// applyOOMScoreAdj is never called, see lacks.
func (l *Limits) applyOOMScoreAdj() error { return errors.ErrUnsupported }
