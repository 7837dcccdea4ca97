// This file is what the systems other than Linux do without. Its functions serve both processes.

//go:build !linux

package proc

import (
	"errors"
	"io"
	"os"
)

// These are the sizes in bytes of the memory that a worker shares with the process that started it,
// on systems where it does.
const (
	BoxSize    = 256 << 10
	SharedSize = 2 * (4<<20 + 4<<10)
)

// HasBox says that workers have no such memory here.
const HasBox = false

// newBox returns nil: workers do without shared memory.
func newBox() *os.File { return nil }

// takeOverBox returns nil: workers do without shared memory.
func takeOverBox() (box, shared []byte) { return nil, nil }

// MapShared returns nil: there is no shared memory.
func (p *Process) MapShared() []byte { return nil }

// Unmap has nothing to do, because MapShared returns nil.
func Unmap([]byte) {}

// inletBlocks reports whether the pipe from which a worker reads what main writes is in blocking
// mode, see Inlet.
func inletBlocks() bool { return false }

// Inlet returns the pipe, which has deadlines if the system offers them. Only Linux has another way
// to wait.
func Inlet(pipe *os.File) io.Reader { return pipe }

// MemoryGroups finds nothing here: only Linux tells whether it has ended a process for lack of
// memory.
type MemoryGroups struct{}

// MemoryGroup is the whole machine here.
type MemoryGroup struct{ Name string }

// NewMemoryGroups returns groups that tell nothing.
func NewMemoryGroups() *MemoryGroups { return new(MemoryGroups) }

// MemoryGroupsIn is for tests on Linux.
func MemoryGroupsIn(string) *MemoryGroups { return new(MemoryGroups) }

// Of returns a group that tells nothing.
func (*MemoryGroups) Of(int) *MemoryGroup { return new(MemoryGroup) }

// Kills returns false: the system does not tell.
func (*MemoryGroup) Kills() (uint64, bool) { return 0, false }

// Limit returns 0.
func (*MemoryGroup) Limit() int64 { return 0 }

// Same reports true: there is only one group.
func (*MemoryGroup) Same(*MemoryGroup) bool { return true }

// OOMScoreAdj returns 0: only Linux has such a number.
func OOMScoreAdj() int { return 0 }

// setOOMScoreAdj returns an error: only Linux has such a number.
func setOOMScoreAdj(int) error { return errors.ErrUnsupported }

// applyOOMScoreAdj is never called, see lacks.
func (l *Limits) applyOOMScoreAdj() error { return errors.ErrUnsupported }

// ReapOrphans has nothing to do here: macOS and Windows give orphans to a process of the system,
// and no worker is process 1. It returns a function that does nothing.
func ReapOrphans() (stop func()) { return func() {} }

// Memory returns 0: the system does not say how much memory this process may use. Main calls it.
func Memory() int64 { return 0 }
