package multiprolab_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// This file is what must not be lost on the way to a new version: tasks, signals, requests.

// asks asks the program for a page, on a connection of its own.
func (l *upgradeLab) asks(path string) (string, error) {
	return get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, l.url+path)
}

// tried waits until a trial is ready, while a task keeps the old version from its end.
func (l *upgradeLab) tried(t *testing.T, version int) {
	t.Helper()
	l.command(t, "long")
	eventually(t, "the task", func() bool { return strings.Contains(l.out.String(), "begun long") })
	l.replace(t, version)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the trial to be ready", func() bool {
		return strings.Contains(l.out.String(), "goes on as its new version")
	})
}

// goOn lets the task of tried end, and whoever else waits for the file.
func (l *upgradeLab) goOn(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(l.base+".go", nil, 0o600))
}

// Each task that a worker submits, without waiting for it, while the program is upgraded is done
// once, whichever version has got it at whatever time.
func TestUpgradeLosesNoSubmission(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	var stop atomic.Bool
	var submitted atomic.Int64
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop.Store(true)
	for client := range 3 {
		clients.Go(func() { // ends with stop
			for i := 0; !stop.Load(); i++ {
				got, err := l.asks(fmt.Sprintf("submit/tasks/%d-%d?type=note", client, i))
				if err != nil || !strings.HasSuffix(got, " <nil>") {
					t.Errorf("got %q, %v", got, err)
					return
				}
				submitted.Add(1)
			}
		})
	}
	for _, version := range []int{2, 1, 2, 1} {
		l.upgrade(t, version)
	}
	stop.Store(true)
	clients.Wait()
	done := regexp.MustCompile(`(?m)^done \d+-\d+ by \d$`)
	eventually(t, "all tasks", func() bool {
		return len(done.FindAllString(l.out.String(), -1)) >= int(submitted.Load())
	})
	l.end(t)
	once := map[string]bool{}
	for _, line := range done.FindAllString(l.out.String(), -1) {
		what, _, _ := strings.Cut(line, " by ")
		require.False(t, once[what], what)
		once[what] = true
	}
	require.Len(t, once, int(submitted.Load()))
}

// What a trial has accepted, and cannot do before its end, goes to the new version.
func TestUpgradeTakesOverTasksOfTrial(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.command(t, "hold")
	l.tried(t, 2)
	inTrial := func(path string) {
		eventually(t, path, func() bool { // a worker of the old version may be about to end
			got, err := l.asks(path)
			require.NoError(t, err)
			require.Contains(t, got, " <nil>")
			return !strings.HasPrefix(got, fmt.Sprint(l.Process.Pid, " "))
		})
	}
	inTrial("submit/held/kept?type=quick")
	l.goOn(t)
	l.begins(t, 2)
	l.workersAlone(t)
	l.command(t, "resume")
	eventually(t, "the task", func() bool { return strings.Contains(l.out.String(), "done kept by 2\n") })
	l.end(t)
}

// SIGTERM counts also when nothing is left of the old version but the trial, whose end it awaits.
func TestEndWhileTrialEnds(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.fail(t, "slow trial alone")
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the trial alone", func() bool {
		return strings.Contains(l.out.String(), "goes on as its new version") && len(childrenOf(t, l.Process.Pid)) == 1
	})
	left := childrenOf(t, l.Process.Pid)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	l.goOn(t)
	require.NoError(t, l.wait(t))
	gone(t, "the trial", left...)
	require.Contains(t, l.out.String(), "end <nil> multiprolab: the program was ended by SIGTERM")
	require.Len(t, versionLine().FindAllString(l.out.String(), -1), 1, "no further version has begun")
	require.NoFileExists(t, l.base)
}

// A signal that asks for a version which came too late for the upgrade that is under way is heeded
// once the old version has begun anew; and the trial is not killed, it ends.
func TestUpgradeAsksAgain(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.tried(t, 2)
	l.replace(t, 1)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	l.goOn(t)
	eventually(t, "the version that came late", func() bool {
		return strings.Contains(l.out.String(), "the program has been upgraded")
	})
	require.Contains(t, l.out.String(), "another file is in its place by now than the one that was tried")
	ended := regexp.MustCompile(`(?m)^end <nil> multiprolab: exit was requested of \d+$`)
	eventually(t, "both trials to end", func() bool { return len(ended.FindAllString(l.out.String(), -1)) == 2 })
	l.serves(t, 1)
	l.end(t)
}

// What is handed over may be larger than a file may be.
func TestUpgradeWithSmallFiles(t *testing.T) {
	t.Parallel()
	l := newUpgradeLab(t)
	l.replace(t, 1)
	l.run(t, exec.Command("sh", "-c", `ulimit -f 64 && exec "$0" "$@"`, l.program(), l.base)) // 32 or 64 KiB
	l.command(t, "much")
	l.upgrade(t, 2)
	l.command(t, "resume")
	done := regexp.MustCompile(`(?m)^done \d+ of much 0+ by 2$`)
	eventually(t, "all tasks", func() bool { return len(done.FindAllString(l.out.String(), -1)) == 100 })
	l.end(t)
}

// A process that cannot know what it is to try does not run the program.
func TestTrialOfAnotherLibrary(t *testing.T) {
	t.Parallel()
	l := newUpgradeLab(t)
	l.replace(t, 1)
	l.fail(t, "stuck")
	fd, err := unix.MemfdCreate("other", 0)
	require.NoError(t, err)
	file := os.NewFile(uintptr(fd), "other")
	defer file.Close()
	_, err = file.WriteString("\xfe")
	require.NoError(t, err)
	cmd := exec.Command(l.program(), l.base)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), fmt.Sprintf("MULTIPROLAB_UPGRADE=trial:%d:3", os.Getpid()))
	out, err := cmd.CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, string(out), "cannot be read (is it of another version of the library?)")
	require.NotContains(t, string(out), "the new version is stuck")
}

// A request that a worker of a trial has begun with is answered, also if the trial as a whole does
// not become ready.
func TestUpgradeThatFailsAnswersRequests(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t, "UPGRADE_TIMEOUT=2s", "UPGRADE_KILL=5s")
	l.fail(t, "half ready")
	l.replace(t, 2)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	eventually(t, "the new version to answer", func() bool {
		got, err := l.asks("")
		require.NoError(t, err)
		return got == "2" || strings.Contains(l.out.String(), "is not upgraded")
	})
	answered := make(chan error, 64)
	for range cap(answered) { // some of them to the trial
		go func() { // ends with the program
			_, err := l.asks("end")
			answered <- err
		}()
	}
	eventually(t, "the error", func() bool { return strings.Contains(l.out.String(), "is not upgraded") })
	require.NoError(t, os.RemoveAll(l.base+".fault"))
	l.workersAlone(t)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM")) // the others end with the old version
	require.NoError(t, l.wait(t))
	for range cap(answered) {
		require.NoError(t, <-answered)
	}
}
