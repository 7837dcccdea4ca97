//go:build unix

package proc_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	children["who"] = func() {
		_, w := proc.Wire()
		_ = json.NewEncoder(w).Encode(whoAmI())
		echo()
	}
	mains["start as root"] = func() {
		s := proc.NewSpawner()
		_, err := s.Start(&proc.Spec{Role: role("who"), Credential: &proc.Credential{}})
		fmt.Println(err)
	}
}

// who is what a process knows about itself.
type who struct {
	UID, EUID, GID, EGID int
	Groups               []int
	Pid, Ppid            int
	ProcSelf             string // what /proc says the pid is
	UIDMap               string
}

func whoAmI() who {
	i := who{
		UID:  os.Getuid(),
		EUID: os.Geteuid(),
		GID:  os.Getgid(),
		EGID: os.Getegid(),
		Pid:  os.Getpid(),
		Ppid: os.Getppid(),
	}
	i.Groups, _ = os.Getgroups()
	i.ProcSelf, _ = os.Readlink("/proc/self")
	m, _ := os.ReadFile("/proc/self/uid_map")
	i.UIDMap = string(m)
	return i
}

// getWho reads what a child of that name has found.
func getWho(t *testing.T, p *proc.Process) (i who) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(line(t, p)), &i))
	return i
}

// nobody has no file of its own, and no privileges.
var nobody = proc.Credential{UID: 65534, GID: 65534}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
}

// publicBinary copies this binary to where every user can execute it.
func publicBinary(t *testing.T) string {
	t.Helper()
	path := copyBinary(t)
	require.NoError(t, os.Chmod(path, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)) // os.MkdirTemp's
	return path
}

// asNobody returns the command that plays a main process without privileges.
func asNobody(path, name string, more ...string) *exec.Cmd {
	cmd := exec.Command(path)
	cmd.Env = append(childEnv(more...), mainVar+"="+name)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody.UID, Gid: nobody.GID}}
	return cmd
}

func TestCredential(t *testing.T) {
	needRoot(t)
	path := publicBinary(t)
	s := newSpawner(t)
	for _, c := range []proc.Credential{nobody, {UID: 12345, GID: 54321, Groups: []uint32{7, 8}}, {}} {
		p := start(t, s, &proc.Spec{Role: role("who"), Path: path, Credential: &c})
		got := getWho(t, p)
		require.EqualValues(t, c.UID, got.UID)
		require.EqualValues(t, c.UID, got.EUID)
		require.EqualValues(t, c.GID, got.GID)
		require.EqualValues(t, c.GID, got.EGID)
		require.Len(t, got.Groups, len(c.Groups))
		for i, group := range c.Groups {
			require.EqualValues(t, group, got.Groups[i])
		}
	}
}

func TestCredentialCannotExecute(t *testing.T) {
	needRoot(t)
	s := newSpawner(t)
	private := publicBinary(t)
	require.NoError(t, os.Chmod(private, 0o700))
	hidden := publicBinary(t)
	require.NoError(t, os.Chmod(filepath.Dir(hidden), 0o700))
	public := publicBinary(t)
	for _, tt := range []struct {
		name, path, dir string
		text            []string
	}{
		{"file", private, "", []string{"user 65534 (group 65534) cannot execute the program: " + private + " (-rwx------, owner 0:0)"}},
		{"directory", hidden, "", []string{"cannot execute the program: " + filepath.Dir(hidden) + " (drwx------, owner 0:0)"}},
		{"working directory", public, filepath.Dir(hidden), []string{"cannot enter the working directory: " + filepath.Dir(hidden) + " (d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Start(&proc.Spec{Role: role("who"), Path: tt.path, Dir: tt.dir, Credential: &nobody})
			require.ErrorIs(t, err, fs.ErrPermission)
			for _, text := range tt.text {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestCredentialWithoutPrivileges(t *testing.T) {
	needRoot(t)
	out, err := asNobody(publicBinary(t), "start as root").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "run the worker as user 0 (group 0): ")
	require.Contains(t, string(out), "operation not permitted")
	if proc.Lacks("PIDNamespace") == "" { // Linux
		require.Contains(t, string(out), "lacks CAP_SETUID and CAP_SETGID")
	}
}
