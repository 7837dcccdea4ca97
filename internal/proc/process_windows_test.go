package proc_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	mains["middle"] = func() { middle(os.Stdout) }
	mains["sleep"] = func() { time.Sleep(1000 * time.Second) }
}

// sleepCommand has this binary sleep: Windows has no command for it.
func sleepCommand() *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(childEnv(), mainVar+"=sleep")
	return cmd
}

// stopSelf is what Windows cannot do.
func stopSelf() {}

// hold opens the processes that a child has announced, worker and grandchild, so that their pids
// stay theirs.
func hold(t *testing.T, text string) (handles []windows.Handle) {
	t.Helper()
	var pids [2]uint32
	_, err := fmt.Sscan(text, &pids[0], &pids[1])
	require.NoError(t, err)
	for _, pid := range pids {
		h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE, false, pid)
		require.NoError(t, err)
		t.Cleanup(func() { _ = windows.CloseHandle(h) })
		handles = append(handles, h)
	}
	return handles
}

// requireEnd waits for the end of the processes.
func requireEnd(t *testing.T, handles []windows.Handle) {
	t.Helper()
	for i, h := range handles {
		event, err := windows.WaitForSingleObject(h, uint32(limit.Milliseconds()))
		require.NoError(t, err)
		require.EqualValues(t, windows.WAIT_OBJECT_0, event, "process %d of %d", i, len(handles))
	}
}

func TestKillReachesGrandchild(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("family")})
	handles := hold(t, line(t, p))
	require.NoError(t, p.Kill())
	wait(t, p)
	requireEnd(t, handles)
}

// TestMainKilled ends a main process that cannot do anything about it, and expects its worker and
// the worker's own child to be gone soon.
func TestMainKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0]) // in no job of ours
	cmd.Env = append(childEnv(), mainVar+"=middle")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	handles := hold(t, text)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireEnd(t, handles)
}

// TestNoHandlesLeft compares the number of open handles before and after.
func TestNoHandlesLeft(t *testing.T) {
	s := newSpawner(t)
	round := func() {
		for range 20 {
			p, err := s.Start(&proc.Spec{Role: role("exit"), Inherited: childEnv()})
			require.NoError(t, err)
			wait(t, p)
			p.Close()
		}
	}
	round() // opens what the first start opens for good
	before := handleCount(t)
	round()
	require.InDelta(t, before, handleCount(t), 10, "the runtime's threads come and go")
}

var getProcessHandleCount = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetProcessHandleCount")

func handleCount(t *testing.T) (n uint32) {
	t.Helper()
	ok, _, err := getProcessHandleCount.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&n)))
	require.NotZero(t, ok, "%v", err)
	return n
}
