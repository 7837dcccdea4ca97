//go:build unix

package main_test

import (
	"bytes"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// starting bounds how long a server may take to start.
const starting = time.Minute

// startRedis starts a Redis server of the test's own on a free port of the loopback interface, in a
// process group that is ended with the test, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	require.NoError(t, err, "install Redis (Debian: apt-get install redis-server)")
	var log bytes.Buffer
	for range 3 { // somebody else may take the port before the server does
		port := freePort(t)
		log.Reset()
		server := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
		server.Dir, server.SysProcAttr = t.TempDir(), &syscall.SysProcAttr{Setpgid: true}
		server.Stdout, server.Stderr = &log, &log
		require.NoError(t, server.Start())
		ended := make(chan struct{})
		go func() { // ends with the server
			defer close(ended)
			_ = server.Wait()
		}()
		t.Cleanup(func() {
			_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
			<-ended
		})
		if ready(t, ended, "127.0.0.1:"+port) {
			return "127.0.0.1:" + port
		}
	}
	require.FailNow(t, "Redis does not start", "%s", &log)
	return ""
}

// ready waits until a server answers, and reports whether it does; else it has ended.
func ready(t *testing.T, ended <-chan struct{}, address string) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(starting); ; {
		select {
		case <-ended:
			return false
		case <-late:
			require.FailNow(t, "Redis is not ready", "after %v", starting)
		case <-tick.C:
			if answers(address) {
				return true
			}
		}
	}
}

// answers reports whether a Redis server answers.
func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, starting)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(starting))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, len("+PONG"))
	_, err = conn.Read(answer)
	return err == nil && string(answer) == "+PONG"
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
