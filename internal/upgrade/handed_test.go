package upgrade

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/pack"
)

var sampleTask = Task{
	Type: "t", Options: "o", Body: "b", Attempts: 2, Checkpoint: "c", Failures: []string{"f", "g"}, Due: 10,
}

var sample = Handed{
	Trial: true, Main: "main", Path: "/bin/program", Failed: "why", Ignored: true,
	Sockets: []Socket{{Name: "web", Network: "tcp", Address: ":80", FD: 7}, {Name: "log", Path: "/run/log", FD: 8}},
	Tasks:   []Task{sampleTask},
	Dead:    []DeadTask{{sampleTask, 9, "e", 11}},
	Pauses:  []Pause{{"q", 12}, {"", 0}},
	Again:   true,
	Report:  3, Life: 4, Errors: 5, Pid: 6, LastTask: 13, Rest: 14,
}

func TestHandedIsReadAsItWasWritten(t *testing.T) {
	var got Handed
	require.NoError(t, pack.Unmarshal(pack.Marshal(&sample), &got))
	require.Equal(t, sample, got)
	require.Equal(t, []int{7, 8, 3, 4, 5, 14}, got.descriptors())
}

// What is cut, or of another layout, is refused.
func TestHandedOfAnotherLayoutIsRefused(t *testing.T) {
	b := pack.Marshal(&sample)
	for n := range b {
		require.Error(t, pack.Unmarshal(b[:n], new(Handed)), "cut after %d bytes", n)
	}
	b[0] += 2 // the number of the layout
	require.Error(t, pack.Unmarshal(b, new(Handed)))
}

func TestTheFileOfWhatIsHandedOverIsRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		require.Error(t, Supported())
		return
	}
	files, err := write(&sample)
	require.NoError(t, err)
	defer closeAll(files...)
	require.Len(t, files, 1)
	fd, err := duplicate(files[0])
	require.NoError(t, err)
	var got Handed
	require.NoError(t, readFrom([]int{fd}, &got))
	require.Equal(t, sample, got)
}

// The line that is shown of what a trial has printed is that of the panic, or else the last.
func TestTailShowsWhatTellsMost(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"one\ntwo\n\n":                         ": two",
		"log\npanic: oh\n\ngoroutine 1\nend\n": ": panic: oh",
		"fatal error: deadlock\n x":            ": fatal error: deadlock",
	} {
		var tail tail
		_, err := tail.Write([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, tail.last())
	}
	var long tail
	for range 100 {
		_, _ = long.Write(make([]byte, 1<<10))
	}
	require.Len(t, long.b, tailSize)
}

// A process that inherits what another one was handed does not take it; one that is to be a trial
// of a process that has ended runs nothing.
func TestHandedOfAnotherProcess(t *testing.T) {
	for value, want := range map[string]string{
		fmt.Sprint("main:", os.Getpid()+1, ":3"):   "",
		fmt.Sprint("trial:", os.Getppid()+1, ":3"): "the old version is not its parent",
		"trial:x:y": "not for users to set",
	} {
		t.Setenv(variable, value)
		h, err := take()
		require.Nil(t, h)
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
		require.Empty(t, os.Getenv(variable))
	}
}
