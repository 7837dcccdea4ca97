// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// architecture is the page about the house, by the headings of its chapters.
func architecture(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	chapters := map[string]string{}
	for _, chapter := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(chapter, "\n")
		chapters[title] = text
	}
	return chapters
}

// tableRows are the first cells of the rows of the tables in a text, which stand in backquotes.
func tableRows(text string) (cells []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]*)` \\|").FindAllStringSubmatch(text, -1) {
		cells = append(cells, m[1])
	}
	return cells
}

// declared are the names that a file declares: functions, types and methods, as in "Link.Post".
func declared(t *testing.T, file string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err, "ARCHITECTURE.md names a file that is not there")
	names := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					names[s.Name.Name] = true
				}
			}
		}
	}
	return names
}

// receiver is the name of the type that a function is a method of, with a point behind it, or "".
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return "?."
		}
	}
}

// TestArchitectureNames: every file that the page names is there, and declares what stands beside
// it.
func TestArchitectureNames(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`([\\w/.-]+\\.go)`(?: `([\\w.]+)`)?").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(named), 30)
	for _, n := range named {
		names := declared(t, n[1])
		require.True(t, n[2] == "" || names[n[2]], "%s declares no %s, which ARCHITECTURE.md names", n[1], n[2])
	}
}

// TestArchitectureJourneys: each way of each journey goes through at most six rooms, those of main
// and those of a worker counted by themselves.
func TestArchitectureJourneys(t *testing.T) {
	journeys := architecture(t)["Three journeys"]
	ways := strings.Split(journeys, "\n### ")[1:]
	require.GreaterOrEqual(t, len(ways), 3)
	stop := regexp.MustCompile("(?m)^\\d+\\. (main|worker): `([\\w/.-]+\\.go)` `[\\w.]+`")
	for _, way := range ways {
		title, stops, _ := strings.Cut(way, "\n")
		rooms := map[string]bool{}
		found := stop.FindAllStringSubmatch(stops, -1)
		require.Equal(t, len(regexp.MustCompile(`(?m)^\d+\.`).FindAllString(stops, -1)), len(found), title)
		for _, s := range found {
			rooms[s[1]+" "+path.Dir(s[2])] = true
		}
		require.NotEmpty(t, rooms, title)
		require.LessOrEqual(t, len(rooms), 6, "%s: %v", title, rooms)
	}
}

// TestArchitectureTables: the page lists all rooms, all ranks of locks in their order, and every
// mechanism that can be switched off.
func TestArchitectureTables(t *testing.T) {
	chapters := architecture(t)
	var rooms []string
	for _, p := range ownPackages(t) {
		if room := strings.TrimPrefix(p, module+"/"); room != p {
			rooms = append(rooms, room)
		}
	}
	require.ElementsMatch(t, rooms, tableRows(chapters["The rooms"]))

	f, err := parser.ParseFile(token.NewFileSet(), "internal/lockorder/lockorder.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var ranks []string
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Name.Name == "rank" { // they stand in their order
			ranks = append(ranks, strings.TrimSuffix(receiver(d), "."))
		}
	}
	require.NotEmpty(t, ranks)
	require.Equal(t, ranks, tableRows(chapters["The order of the locks"]))

	var mechanisms []string
	for _, m := range ablate.All {
		mechanisms = append(mechanisms, m.String())
	}
	require.ElementsMatch(t, mechanisms, tableRows(chapters["What the clever things bring"]))
}
