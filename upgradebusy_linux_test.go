package multiprolab_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file is upgrades of programs that do something else at the same time.

// Workers that are resized and restarted, and data that is published, all the time, are in nobody's
// way.
func TestUpgradeOfRestlessProgram(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	for _, version := range []int{2, 1, 2} {
		l.command(t, "restless")
		l.upgrade(t, version)
		l.serves(t, version)
	}
	require.NoError(t, signalProcess(l.Process.Pid, "SIGTERM"))
	require.NoError(t, l.wait(t))
	require.NotContains(t, l.out.String(), "level=ERROR")
}

// Of two upgrades at once one is refused, and so is one that would wait for itself.
func TestUpgradeTwiceAndInHandler(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.command(t, "upgrade in a handler")
	eventually(t, "the error", func() bool {
		return strings.Contains(l.out.String(), "multiprolab: Upgrade waits until the loop of main has ended")
	})
	l.replace(t, 2)
	require.Contains(t, l.command(t, "upgrade twice"), "upgrade: multiprolab: an Upgrade is under way already")
	l.begins(t, 2)
	l.end(t)
}

// What a trial prints comes whole, and in order, also while the old version gives way to the new
// one.
func TestUpgradeLosesNoLineOfTrial(t *testing.T) {
	t.Parallel()
	printed := &buffer{}
	l := startUpgradeLabAs(t, 0, func(cmd *exec.Cmd) { cmd.Stderr, cmd.SysProcAttr = printed, ownGroup() })
	l.fail(t, "chatty")
	l.upgrade(t, 2)
	l.workersAlone(t)
	l.end(t)
	log := regexp.MustCompile(`time=.*\n`) // a record may stand inside a line
	n := 0
	for line := range strings.Lines(log.ReplaceAllString(printed.String(), "")) {
		if !strings.HasSuffix(line, "\n") { // the trial was writing it when it ended
			break
		}
		require.Equal(t, fmt.Sprintf("line %d of the trial\n", n), line)
		n++
	}
	require.Positive(t, n)
}
