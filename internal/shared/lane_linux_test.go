package shared

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// memfds returns how many descriptors of segments this process has open.
func memfds(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.Contains(to, "memfd:multiprolab-shared") {
			n++
		}
	}
	return n
}

// Nobody can write to a segment, make it shorter or longer, or take the seals away.
func TestSegmentIsSealed(t *testing.T) {
	s, err := New(bytes.NewReader([]byte("data")))
	require.NoError(t, err)
	defer s.Close()
	fd := int(s.of.file.Fd())
	_, err = unix.Write(fd, []byte("x"))
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, unix.Ftruncate(fd, 1), unix.EPERM)
	require.ErrorIs(t, unix.Ftruncate(fd, 100), unix.EPERM)
	_, err = unix.Mmap(fd, 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.ErrorIs(t, err, unix.EPERM)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, 0)
	require.ErrorIs(t, err, unix.EPERM)
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR, 0)
	if err == nil {
		_, err = again.Write([]byte("x"))
		_ = again.Close()
	}
	require.ErrorIs(t, err, unix.EPERM)
}

// What is passed and not taken is bounded, and goes away with the lane.
func TestLaneIsBounded(t *testing.T) {
	before := memfds(t)
	s, err := New(bytes.NewReader([]byte("data")))
	require.NoError(t, err)
	lane, theirs, err := NewLane()
	require.NoError(t, err)
	_, err = unix.Write(int(theirs.Fd()), []byte("x"))
	require.ErrorIs(t, err, unix.EPIPE, "main keeps nothing of what a worker writes")
	passed := 0
	for ; err != ErrFull; passed++ {
		_, err = lane.Pass(s)
		require.Less(t, passed, 100)
	}
	require.Positive(t, passed)
	outlet := NewOutlet(theirs.Fd())
	memory, err := outlet.Map(0, s.Size())
	require.NoError(t, err)
	require.Equal(t, "data", string(memory))
	Unmap(memory)
	_, err = lane.Pass(s)
	require.NoError(t, err, "there is room again")
	lane.Close()
	require.NoError(t, theirs.Close())
	s.Close()
	require.Equal(t, before, memfds(t))
}

// A worker is not to blame for what others of its user have passed on.
func TestLaneIsFullOfItsOwn(t *testing.T) {
	require.Equal(t, ErrFull, passError(unix.EAGAIN))
	require.NoError(t, passError(nil))
	for _, err := range []error{unix.ETOOMANYREFS, unix.ENOBUFS, unix.EMFILE} {
		require.ErrorIs(t, passError(err), err)
		require.NotErrorIs(t, passError(err), ErrFull)
	}
}
