package multiprolab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// lead leads a symbolic link to a version of the program.
func lead(t *testing.T, link, to string) {
	t.Helper()
	require.NoError(t, os.Symlink(to, link+".new"))
	require.NoError(t, os.Rename(link+".new", link))
}

// A deployment leads a symbolic link to the new version. The program finds it by the name that it
// was started by, also once its main function has changed the directory.
func TestUpgradeThroughLink(t *testing.T) {
	built, err := upgradePrograms()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		file func(l *upgradeLab) string
		env  []string
	}{
		"absolute":     {(*upgradeLab).program, nil},
		"relative":     {func(l *upgradeLab) string { return "./" + filepath.Base(l.program()) }, nil},
		"of elsewhere": {func(l *upgradeLab) string { return "./" + filepath.Base(l.program()) }, []string{"UPGRADE_DIR=/"}},
		"in the path": {func(l *upgradeLab) string {
			t.Setenv("PATH", filepath.Dir(l.base)+":"+os.Getenv("PATH"))
			return filepath.Base(l.program())
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newUpgradeLab(t)
			lead(t, l.program(), built[1])
			l.start(t, c.file(l), c.env...)
			for _, version := range []int{2, 1} {
				lead(t, l.program(), built[version])
				require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
				l.begins(t, version)
				l.workersAlone(t)
				l.serves(t, version)
			}
			l.end(t)
		})
	}
	t.Run("of the directory", func(t *testing.T) {
		l := newUpgradeLab(t)
		for version := 1; version < len(built); version++ {
			dir := l.base + string(rune('0'+version))
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.Link(built[version], filepath.Join(dir, "program")))
		}
		current := l.base + ".current"
		lead(t, current, l.base+"1")
		l.start(t, filepath.Join(current, "program"))
		lead(t, current, l.base+"2")
		require.NoError(t, os.RemoveAll(l.base+"1"))
		require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
		l.begins(t, 2)
		l.workersAlone(t)
		l.serves(t, 2)
		l.end(t)
	})
}

// If the file that was tried cannot be executed once the old version has ended, or another one is
// in its place, the old one begins anew.
func TestUpgradeWhoseFileChangesLate(t *testing.T) {
	t.Parallel()
	for fault, why := range map[string]string{
		"vanish late": `\S+: no such file or directory`,
		"switch late": `another file is in its place by now than the one that was tried: call Upgrade again`,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			l := newUpgradeLab(t)
			l.replace(t, 1)
			l.fail(t, fault)
			l.start(t, l.program())
			require.NoError(t, os.WriteFile(l.base+".other", []byte("#!/bin/sh\nexit 1\n"), 0o700))
			require.NoError(t, os.Remove(l.base+".fault"))
			l.replace(t, 2)
			require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
			l.begins(t, 1)
			require.Regexp(t, `level=ERROR msg="multiprolab: the new version of the program could not be executed, `+
				`the old one goes on" error=".*`+why, l.out.String())
			l.workersAlone(t)
			l.serves(t, 1)
			l.replace(t, 2)
			require.NoError(t, signalProcess(l.Process.Pid, "SIGUSR2"))
			l.begins(t, 2)
			l.end(t)
		})
	}
}
