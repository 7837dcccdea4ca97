package meta

import (
	"fmt"
	"iter"
	"strings"
)

const (
	// maxChain is the greatest length of a chain in bytes, and maxChainNames the greatest number of
	// names in it. A chain is the names of the processes that wait, separated by commas.
	maxChain, maxChainNames = 16 << 10, 256
)

// CheckChain returns an error for a chain that is too long, or that has a character in it which no
// name of a process has.
func CheckChain(chain string) error {
	if len(chain) > maxChain || strings.Count(chain, ",") >= maxChainNames {
		return fmt.Errorf(
			"the processes that wait for each other are more than %d, or their names longer than %d bytes",
			maxChainNames,
			maxChain,
		)
	}
	for i := range len(chain) {
		c := chain[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && !('0' <= c && c <= '9') && c != '-' && c != '_' && c != '/' && c != ',' {
			return fmt.Errorf("there is %q in the names of the processes that wait for each other", c)
		}
	}
	return nil
}

// Longer returns a chain with one more name in it.
func Longer(chain, name string) string {
	if chain == "" {
		return name
	}
	return chain + "," + name
}

// Names yields the names in a chain.
func Names(chain string) iter.Seq[string] { return strings.SplitSeq(chain, ",") }
