//go:build unix

package main_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// starting bounds how long a server may take to start.
const starting = time.Minute

// startPostgres starts a PostgreSQL server of the test's own on a free port of the loopback
// interface, in a process group that is ended with the test, and returns the URL of its database.
func startPostgres(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "river-postgres") // not t.TempDir: its parent is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := notRoot(t, dir)

	initdb := exec.Command(program(t, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var log bytes.Buffer
	for range 3 { // somebody else may take the port before the server does
		port := freePort(t)
		log.Reset()
		server := exec.Command(program(t, "postgres"), "-D", filepath.Join(dir, "data"), "-p", port,
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
		server.Dir, server.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as, Setpgid: true}
		server.Stdout, server.Stderr = &log, &log
		require.NoError(t, server.Start())
		ended := make(chan struct{})
		go func() { // ends with the server
			defer close(ended)
			_ = server.Wait()
		}()
		t.Cleanup(func() {
			_ = server.Process.Signal(syscall.SIGQUIT) // its processes are of sessions of their own; it ends them
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
			}
			_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
			<-ended
		})
		if ready(t, ended, port) {
			return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable", port)
		}
	}
	require.FailNow(t, "PostgreSQL does not start", "%s", &log)
	return ""
}

// ready waits until a server takes connections, and reports whether it does; else it has ended.
func ready(t *testing.T, ended <-chan struct{}, port string) bool {
	t.Helper()
	isReady := program(t, "pg_isready")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(starting); ; {
		select {
		case <-ended:
			return false
		case <-late:
			require.FailNow(t, "PostgreSQL is not ready", "after %v", starting)
		case <-tick.C:
			if exec.Command(isReady, "-h", "127.0.0.1", "-p", port).Run() == nil {
				return true
			}
		}
	}
}

// notRoot returns the user that a server runs as, if this is root, and gives it the directory:
// PostgreSQL does not run as root.
func notRoot(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	require.NoError(t, err, "PostgreSQL does not run as root, and its package would have made the user postgres")
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(dir, uid, gid))
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// program finds a program of PostgreSQL: Debian keeps those of servers out of the PATH.
func program(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	require.NotEmpty(t, found, "%s is not there: install PostgreSQL (Debian: apt-get install postgresql)", name)
	return slices.Max(found)
}

// freePort returns a port of the loopback interface that nobody uses.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}
