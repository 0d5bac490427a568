"""What a calendar program does with a CalDAV server, by the library caldav. Prints what it finds, as JSON.

Arguments: the server's URL, a file with the authority, the user, the password.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import caldav

url, authority, user, password = sys.argv[1:]
START = datetime(2027, 3, 1, 8, tzinfo=UTC)
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)

with caldav.DAVClient(url, username=user, password=password, ssl_verify_cert=authority) as client:
    principal = client.principal()
    calendar = principal.make_calendar(name="Garden")
    weekly = {"FREQ": "WEEKLY", "COUNT": 3}
    event = calendar.save_event(dtstart=START, dtend=START + HOUR, summary="Sow tomatoes", rrule=weekly)
    calendar.save_event(dtstart=START + 8 * WEEK, dtend=START + 8 * WEEK + HOUR, summary="Harvest")
    events = calendar.search(start=START, end=START + 4 * WEEK, event=True, expand=True)
    names = [each.get_display_name() for each in principal.calendars()]
    summaries = [str(each.icalendar_component["SUMMARY"]) for each in events]
    event.delete()
    left = [str(each.icalendar_component["SUMMARY"]) for each in calendar.events()]
    calendar.delete()
    print(json.dumps({"calendars": names, "in March": summaries, "left": left}))
