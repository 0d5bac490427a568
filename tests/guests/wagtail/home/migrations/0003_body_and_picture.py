import django.db.models.deletion
import wagtail.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0002_create_homepage"),
        ("wagtailimages", "0001_squashed_0021"),
    ]

    operations = [
        migrations.AddField("homepage", "body", wagtail.fields.RichTextField(blank=True)),
        migrations.AddField(
            "homepage",
            "picture",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="wagtailimages.image",
            ),
        ),
    ]
