package multiprolab_test

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bound reports whether any process has a Unix socket that was bound to a path.
func bound(t *testing.T, path string) bool {
	t.Helper()
	all, err := os.ReadFile("/proc/net/unix")
	require.NoError(t, err)
	return strings.Contains(string(all), " "+path+"\n")
}

// upgradeWith upgrades to a version that does something else with its sockets.
func (l *upgradeLab) upgradeWith(t *testing.T, fault string, version int) {
	t.Helper()
	l.fail(t, fault)
	l.replace(t, version)
	require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
	l.begins(t, version)
	l.workersAlone(t)
	l.serves(t, version)
}

// A socket that the new version does not ask for any more is closed, with its file, and a later
// version can open it again.
func TestUpgradeClosesSocketThatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	require.True(t, bound(t, l.base))
	l.upgradeWith(t, "", 2)
	before := l.descriptors(t)
	l.upgradeWith(t, "no socket", 1)
	eventually(t, "the descriptor to be closed", func() bool { return l.descriptors(t) < before })
	require.False(t, bound(t, l.base))
	require.NoFileExists(t, l.base)
	l.upgradeWith(t, "", 2)
	require.True(t, bound(t, l.base))
	l.end(t)
}

// The sockets of the service manager go over, whether somebody has asked for them or not, and so do
// those of packets.
func TestUpgradeHandsOnWhatWasPassed(t *testing.T) {
	t.Parallel()
	l := newUpgradeLab(t)
	l.replace(t, 1)
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, l.program(), l.base)
	for range 2 {
		passed, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		file, err := passed.(*net.TCPListener).File()
		require.NoError(t, err)
		require.NoError(t, passed.Close())
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
		l.url = "http://" + passed.Addr().String() + "/" // of the second, which has the name web
	}
	l.run(t, cmd, "LISTEN_FDS=2", "LISTEN_FDNAMES=other:web")
	for _, version := range []int{2, 1, 2} {
		l.upgradeWith(t, "", version)
	}
	lines := regexp.MustCompile(`(?m)^packets at .*$`).FindAllString(l.out.String(), -1)
	require.Len(t, lines, 4)
	require.Contains(t, lines[0], "passed [other]")
	require.Len(t, slices.Compact(lines), 1, "of all versions")
	l.end(t)
}

// What the new version opens itself in the place of a socket that it does not ask for any more is
// left alone.
func TestUpgradeLeavesFileOfNewVersion(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	l.upgradeWith(t, "own", 2)
	c, err := net.Dial("unix", l.base)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, os.Remove(l.base)) // it is the program's own, and this one does not care
	l.end(t)
}

// A socket at the same address goes over to the new version although that has another name for it.
func TestUpgradeRenamesSocket(t *testing.T) {
	t.Parallel()
	l := startUpgradeLab(t)
	before, err := os.Lstat(l.base)
	require.NoError(t, err)
	for i, fault := range []string{"renamed", ""} {
		l.upgradeWith(t, fault, 2-i)
		after, err := os.Lstat(l.base)
		require.NoError(t, err)
		require.True(t, os.SameFile(before, after))
	}
	l.end(t)
}
