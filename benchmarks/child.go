package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// pipeBufferSize is the capacity of a pipe on Linux, and of the buffers at its ends, in bytes.
const pipeBufferSize = 64 << 10

// child is a copy of this binary with a role, with pipes on its standard input and output.
type child struct {
	cmd *exec.Cmd
	in  *os.File // main writes
	out *os.File // main reads
}

// roleCommand returns the command of a copy of this binary with a role.
func roleCommand(role string, env ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

func startChild(role string, env ...string) (*child, error) {
	cmd, err := roleCommand(role, env...)
	if err != nil {
		return nil, err
	}
	return startCommand(cmd)
}

func startCommand(cmd *exec.Cmd) (*child, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd, in: in.(*os.File), out: out.(*os.File)}, nil
}

// stop closes the child's standard input, at which every role ends, and waits for it; one that does
// not end is killed.
func (c *child) stop() error {
	_ = c.in.Close()
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	_, _ = io.Copy(io.Discard, c.out)
	err := c.cmd.Wait()
	if !late.Stop() {
		return errors.Join(errors.New("the worker had to be killed"), err)
	}
	return err
}

// stopAll stops children, all at the same time.
func stopAll(children []*child) error {
	for _, c := range children {
		_ = c.in.Close()
	}
	var errs []error
	for _, c := range children {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(errs...)
}
