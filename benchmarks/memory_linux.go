package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

const canReadMemory = true

// memoryOf returns the memory of a process in MiB: what it shares with nobody (Private_Clean and
// Private_Dirty), and its proportional share of everything (Pss). See proc_pid_smaps(5).
func memoryOf(pid int) ([]float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return nil, err
	}
	var private, pss float64
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue
		}
		kib, err := strconv.ParseFloat(string(f[1]), 64)
		if err != nil {
			return nil, err
		}
		switch string(f[0]) {
		case "Private_Clean:", "Private_Dirty:":
			private += kib / 1024
		case "Pss:":
			pss = kib / 1024
		}
	}
	return []float64{private, pss}, nil
}
