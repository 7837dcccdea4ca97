package multiprolab_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// holdTrial upgrades to version 2, whose trial does not end before letGo is called, and returns the
// pid of the trial.
func (l *upgradeLab) holdTrial(t *testing.T) (pid int, letGo func()) {
	t.Helper()
	l.fail(t, "slow trial")
	l.replace(t, 2)
	before := childrenOf(t, l.Process.Pid)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	l.begins(t, 2)
	for _, child := range childrenOf(t, l.Process.Pid) {
		if len(childrenOf(t, child)) > 0 {
			pid = child
		}
	}
	require.NotZero(t, pid, "children before: %v", before)
	return pid, func() {
		t.Helper()
		require.NoError(t, os.WriteFile(l.base+".go", nil, 0o600))
	}
}

// waits waits until main says that it waits for the trial.
func (l *upgradeLab) waits(t *testing.T) {
	t.Helper()
	eventually(t, "main waits", func() bool {
		return strings.Contains(l.out.String(), "main waits until the trial of the last upgrade has finished what it has")
	})
}

// An upgrade waits until the trial of the one before has finished what it has: the next version
// could not attend to it.
func TestUpgradeWaitsForTrialBefore(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	_, letGo := l.holdTrial(t)
	l.replace(t, 1)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	l.waits(t)
	letGo()
	l.begins(t, 1)
	l.end(t)
}

// The program ends when the trial has finished what it has, or at once if it is told to.
func TestEndWaitsForTrial(t *testing.T) {
	t.Parallel()
	for name, hurry := range map[string]bool{"in time": false, "at once": true} {
		t.Run(name, func(t *testing.T) {
			l := startUpgradeLab(t)
			trial, letGo := l.holdTrial(t)
			require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
			l.waits(t)
			if hurry {
				require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
			} else {
				letGo()
			}
			<-l.exited
			gone(t, "the trial", trial)
		})
	}
}

// A new version that has another Main before the one that is upgraded runs it in the trial, and
// comes to its own; if that fails, the error does not speak of the other one.
func TestUpgradeBehindAnotherMain(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t, "UPGRADE_TIMEOUT=10s")
	l.fail(t, "one more before")
	for _, version := range []int{2, 1} {
		l.upgrade(t, version)
		l.workersAlone(t)
	}
	require.NotContains(t, l.out.String(), "was to be tried")
	l.end(t)
}
