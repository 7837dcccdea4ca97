package meta

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// maxHeader is the greatest length of packed headers in bytes.
const maxHeader = 8 << 10

// headers are the headers of a message or a task, as they are packed.
type headers map[string]string

// Pack describes the layout of headers: how many there are, and their names and values in the order
// of the names.
func (h *headers) Pack(p *pack.Packing) {
	n := len(*h)
	pack.Number(p, &n)
	if !p.Reading() {
		for _, name := range slices.Sorted(maps.Keys(*h)) {
			value := (*h)[name]
			pack.Text(p, &name)
			pack.Text(p, &value)
		}
		return
	}
	all := headers{}
	for range n {
		var name, value string
		pack.Text(p, &name)
		pack.Text(p, &value)
		if _, twice := all[name]; twice { // this also is so once there is nothing left to be read
			p.Fail()
			return
		}
		all[name] = value
	}
	*h = all
}

// MarshalHeader packs headers for a frame; none are "".
func MarshalHeader(h map[string]string) (string, error) {
	if len(h) == 0 {
		return "", nil
	}
	all := headers(h)
	b := pack.Marshal(&all)
	if len(b) > maxHeader {
		return "", fmt.Errorf("the headers take %d bytes: at most %d may travel", len(b), maxHeader)
	}
	return string(b), nil
}

// UnmarshalHeader reads what MarshalHeader wrote.
func UnmarshalHeader(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxHeader {
		return nil, errors.New("headers are too long")
	}
	var all headers
	if err := pack.Unmarshal([]byte(s), &all); err != nil || len(all) == 0 {
		return nil, errors.New("headers are cut short, or malformed")
	}
	return all, nil
}

const (
	// maxChain is the greatest length of a chain in bytes, and maxChainNames the greatest number of
	// names in it. A chain is the names of the processes that wait, separated by commas.
	maxChain, maxChainNames = 16 << 10, 256
)

// CheckChain returns an error for a chain that is too long, or that has a character in it which no
// name of a process has.
func CheckChain(chain string) error {
	if len(chain) > maxChain || strings.Count(chain, ",") >= maxChainNames {
		return fmt.Errorf("the processes that wait for each other are more than %d, or their names longer than "+
			"%d bytes", maxChainNames, maxChain)
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
