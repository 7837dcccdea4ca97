// The functions of this file serve both processes.

//go:build !linux

package proc

import "errors"

// OOMScoreAdj returns 0: only Linux chooses by such a number.
func OOMScoreAdj() int { return 0 }

func setOOMScoreAdj(int) error { return errors.ErrUnsupported }

// applyOOMScoreAdj is not reached: see lacks.
func (l *Limits) applyOOMScoreAdj() error { return errors.ErrUnsupported }
