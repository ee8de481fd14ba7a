package fingerprint

import "strings"

// zones are the time zones of regions, by their largest cities: those of
// https://www.iana.org/time-zones.
var zones = func(table string) map[string]string {
	m := map[string]string{}
	words := strings.Fields(table)
	for i := 0; i < len(words); i += 2 {
		m[words[i]] = words[i+1]
	}
	return m
}(`
AE Asia/Dubai AR America/Argentina/Buenos_Aires AT Europe/Vienna AU Australia/Sydney BD Asia/Dhaka BE Europe/Brussels BG Europe/Sofia BR America/Sao_Paulo
CA America/Toronto CH Europe/Zurich CL America/Santiago CN Asia/Shanghai CO America/Bogota CZ Europe/Prague DE Europe/Berlin DK Europe/Copenhagen EE Europe/Tallinn
EG Africa/Cairo ES Europe/Madrid FI Europe/Helsinki FR Europe/Paris GB Europe/London GR Europe/Athens HK Asia/Hong_Kong HR Europe/Zagreb HU Europe/Budapest
ID Asia/Jakarta IE Europe/Dublin IL Asia/Jerusalem IN Asia/Kolkata IR Asia/Tehran IS Atlantic/Reykjavik IT Europe/Rome JP Asia/Tokyo KE Africa/Nairobi KR Asia/Seoul
LT Europe/Vilnius LU Europe/Luxembourg LV Europe/Riga MA Africa/Casablanca MX America/Mexico_City MY Asia/Kuala_Lumpur NG Africa/Lagos NL Europe/Amsterdam
NO Europe/Oslo NZ Pacific/Auckland PE America/Lima PH Asia/Manila PK Asia/Karachi PL Europe/Warsaw PT Europe/Lisbon RO Europe/Bucharest RS Europe/Belgrade
RU Europe/Moscow SA Asia/Riyadh SE Europe/Stockholm SG Asia/Singapore SI Europe/Ljubljana SK Europe/Bratislava TH Asia/Bangkok TR Europe/Istanbul TW Asia/Taipei
UA Europe/Kyiv US America/New_York VE America/Caracas VN Asia/Ho_Chi_Minh ZA Africa/Johannesburg
`)

// Zone is the time zone of who prefers its first language, such as "Europe/Berlin"
// of "de-DE", or of American English if it has none. It is empty for languages of no region that is known.
func (f *Fingerprint) Zone() string {
	first := "en-US"
	if l := f.Navigator.Languages; len(l) > 0 {
		first = l[0]
	}
	i := strings.LastIndex(first, "-")
	if i < 0 {
		return "" // "ar" is Arabic, and AR Argentina
	}
	return zones[strings.ToUpper(first[i+1:])]
}
